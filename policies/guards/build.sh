#!/usr/bin/env bash
# Builds the guards that Postern ships: one component for each, and RUSTC, which names the compiler.
#
# Usage: policies/guards/build.sh [FOLDER]     (FOLDER: where to, policies/guards/builtin if not given)
set -euo pipefail

guards=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$guards/builtin}
mkdir -p "$folder"
built=$("$guards/../build-guests.sh" "$guards")
for guard in artefact-images deployment-freeze source-network; do
    cp "$built/${guard//-/_}.wasm" "$folder/$guard.wasm"
done
rustc --version > "$folder/RUSTC"
