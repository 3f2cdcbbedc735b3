#!/usr/bin/env bash
# Builds the built-in role policies: one component for each role, and RUSTC, which names the compiler.
#
# Usage: policies/roles/build.sh [FOLDER]     (FOLDER: where to, policies/builtin if not given)
#
# The same compiler makes the same bytes wherever the repository and the home folder are: no path gets into them.
set -euo pipefail

roles=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$roles/../builtin}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# From here on cargo reads .cargo/config.toml, which names the target and the linker.
cd "$roles"
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
 --remap-path-prefix=$(dirname "$roles")=/policies"
cargo build --release --locked --quiet

built=${CARGO_TARGET_DIR:-$roles/target}/$target/release
while read -r library role; do
    cp "$built/$library.wasm" "$folder/$role.wasm"
done <<'END'
administrator administrator
artefact_contributor artefactContributor
deployer deployer
developer developer
manager manager
member member
org_viewer orgViewer
owner owner
viewer viewer
END
rustc --version > "$folder/RUSTC"
