#!/usr/bin/env bash
# Builds the guards that Postern ships: one component for each; RUSTC, which names the compiler; and SOURCES, the digest of
# all that they are built from.
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
# Without what cargo leaves, and without the tables that guards are tested by.
cd "$guards/.."
find guards sdk wit -name target -prune -o -type f \( -name '*.rs' -o -name 'Cargo.*' -o -name '*.wit' -o -path '*/.cargo/*' \) -print |
    LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1 > "$folder/SOURCES"
