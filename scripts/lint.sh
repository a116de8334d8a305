#!/usr/bin/env bash
# Lint of Go and Rust; staticcheck comes as a Go module of a fixed version, so nothing is installed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh
check_native
unformatted="$(gofmt -l client cmd contracts core devnet examples node plugins sdk starknet test 2>/dev/null || true)"
[ -z "$unformatted" ] || fail "not formatted (run gofmt -w):" $unformatted
go vet ./...
go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...
cargo fmt --all --check
cargo clippy --release --locked --workspace --all-targets "${cargo_options[@]}" -- -D warnings
