#!/usr/bin/env bash
# Runs every test after the set-up: lint, Go, Rust, end to end, the engines beside each other. Any argument goes to the end-to-end tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh
check_native

# What the tests need of the set-up.
export ORDO_E2E_BIN="$clone/bin" ORDO_E2E_JS ORDO_E2E_PYTHON ORDO_E2E_GO ORDO_E2E_CONTRACTS ORDO_E2E_CAIRO
ORDO_E2E_CAIRO="$(cairo_dir)"
ORDO_E2E_JS="$(js_dir)"
ORDO_E2E_PYTHON="$(python_dir)/bin/python"
ORDO_E2E_GO="$(go_client)"
ORDO_E2E_CONTRACTS="$(crate_dir cairo-lang-starknet 2.19.5)/test_data"

ORDO_CLIPPY_TIME=170 scripts/lint.sh

say "go test"
packages="$(go list ./... | grep -v -E '/test/(e2e|metamorphic|rustcrate)(/|$)')"
mapfile -t packages <<<"$packages"
go test "${packages[@]}"

# The paths of processors without AVX-512, in portable code; those with it have run above as far as this machine has them.
go test -tags purego ./starknet/felt ./starknet/pedersen ./starknet/poseidon ./starknet/internal/...

(cd docs/benchmarks/page && go test ./...)
(cd plugins/consensus/comet && go test ./...)

say "fuzz, briefly: each fuzz test has its part of a minute"
go run ./test/attack/fuzz -total 60s

say "cargo test"
cargo test --release --locked --workspace "${cargo_options[@]}"
(cd "$malachite" && cargo test --release --locked)

say "the Rust SDK in a crate outside of the workspace"
go test -count=1 ./test/rustcrate

say "end to end"
go test -count=1 -timeout 20m ./test/e2e/... "$@"

say "every engine beside the others"
go test -count=1 -timeout 10m ./test/metamorphic

# A minute of attack. Times are told and not judged here (-factor 0): the machine has other work while it tests.
say "attack, briefly"
scripts/attack.sh -duration 30s -limited 30s -turn 5s -factor 0
done_in
