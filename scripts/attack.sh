#!/usr/bin/env bash
# Runs the mixed attack on a node of its own (test/attack/README.md). Any argument goes to it: -duration 1m -only views.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

program="$cache/attack-$(printf '%s' "$clone" | cksum | tr ' ' '-')" # a file, not `go run`: it starts itself again, and ends by a code
go build -o "$program" ./test/attack/mixed
ORDO_E2E_CAIRO="${ORDO_E2E_CAIRO:-$(cairo_dir)}" exec "$program" -bin "$clone/bin" "$@"
