#!/usr/bin/env bash
# Compiles the project's own contracts, then runs generated programs with every engine of the executor. Arguments are those of
# the test: -programs 400 -seed 0 by themselves, where 0 takes the seed from the clock.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh
mkdir -p "$cache"
install_js
compile_cairo
[ $# -gt 0 ] || set -- -programs 400 -seed 0
export ORDO_E2E_BIN="$clone/bin" ORDO_E2E_CAIRO
ORDO_E2E_CAIRO="$(cairo_dir)"
go test -count=1 -timeout 4h -v ./test/metamorphic "$@"
