#!/usr/bin/env bash
# Builds the built-in role policies: one component for each role, and RUSTC, which names the compiler.
#
# Usage: policies/roles/build.sh [FOLDER]     (FOLDER: where to, policies/builtin if not given)
set -euo pipefail

roles=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$roles/../builtin}
mkdir -p "$folder"
built=$("$roles/../build-guests.sh" "$roles")
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
