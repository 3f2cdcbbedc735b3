#!/usr/bin/env bash
# Builds a workspace of policies in Rust, and prints the folder that their components are in.
#
# Usage: policies/build-guests.sh WORKSPACE
#
# No path gets into the bytes. Where the repository is can change the order of functions in them, for guests of many crates.
set -euo pipefail

policies=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# From here on cargo reads .cargo/config.toml, which names the target and the linker.
cd "$1"
target=wasm32-unknown-unknown
sysroot=$(rustc --print sysroot)
if [ ! -d "$sysroot/lib/rustlib/$target" ]; then
    echo "The compiler cannot build for $target. To repair: rustup target add $target" >&2
    exit 1
fi

# Settings of the caller's, as of a coverage run, would change the bytes.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER RUSTC_WORKSPACE_WRAPPER CARGO_BUILD_TARGET "${!CARGO_PROFILE_@}"
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="\
 --remap-path-prefix=$sysroot/lib/rustlib/src/rust=/std\
 --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo\
 --remap-path-prefix=$policies=/policies"
cargo build --release --locked --quiet
echo "${CARGO_TARGET_DIR:-$PWD/target}/$target/release"
