#!/usr/bin/env bash
# Checks the rules that a tool knows, in Go, Rust, shell and protocol definitions; `make test` runs it first. Import rules, file sizes and
# words are checked by the tests of test/arch.
# staticcheck comes as a Go module of a fixed version, so nothing is installed. ORDO_LINT=go leaves Rust out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

modules=(. docs/benchmarks/page plugins/consensus/comet sdk/proto/gen test/e2e/go)

# step NAME COMMAND...: runs the command and says how long it took; one that fails ends the script.
step() {
  local name="$1" began
  began=$(date +%s)
  shift
  "$@" || { printf 'lint: %s failed (see above)\n' "$name" >&2; exit 1; }
  say "lint: $name: $(($(date +%s) - began)) s"
}

# ours NAME: our files of that name, each ended by a NUL.
ours() { find . \( -name node_modules -o -name target -o -name .venv -o -path ./bin -o -path ./.git \) -prune -o -type f -name "$1" -print0; }

formatted() {
  local unformatted
  unformatted="$(ours '*.go' | xargs -0 gofmt -l)" || return 1
  [ -z "$unformatted" ] || { printf 'not formatted (run gofmt -w):\n%s\n' "$unformatted" >&2; return 1; }
}
vetted() {
  local module
  for module in "${modules[@]}"; do (cd "$module" && go vet ./...) || return 1; done
}
checked() {
  local module
  for module in . plugins/consensus/comet; do (cd "$module" && go run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...) || return 1; done
}
tidied() {
  local module
  for module in "${modules[@]}"; do
    (cd "$module" && go mod tidy -diff) || { echo "$module: go.mod or go.sum is not tidy: run go mod tidy there" >&2; return 1; }
  done
}

# The Go code of the protocol is generated into a copy, and must be what is there.
generated() {
  local copy wrong
  copy="$(mktemp -d)"
  mkdir -p "$copy/sdk" "$copy/network"
  cp -r sdk/proto "$copy/sdk/proto"
  cp -r core/network/wire "$copy/network/wire"
  wrong=0
  (cd sdk/proto/gen && go run . "$copy/sdk/proto" && go run . "$copy/network" wire/network.proto) || wrong=1
  [ $wrong = 1 ] || diff -r -q sdk/proto "$copy/sdk/proto" >&2 || { echo "sdk/proto: the Go code is not what make proto writes" >&2; wrong=1; }
  [ $wrong = 1 ] || diff -r -q core/network/wire "$copy/network/wire" >&2 || { echo "core/network/wire: the Go code is not what make proto writes" >&2; wrong=1; }
  rm -rf "$copy"
  return $wrong
}
shells() { ours '*.sh' | xargs -0 shellcheck --external-sources; }
# With the profile and the target folder of the tests. Dependencies are checked once, and are kept with what is built; within
# `make test` that may take three minutes, and goes on where it stopped the next time. `make lint` waits for the end.
clippy() {
  local failed=0
  timeout "${ORDO_CLIPPY_TIME:-0}" cargo clippy --release --locked --workspace --all-targets "${cargo_options[@]}" -- -D warnings || failed=$?
  [ $failed = 124 ] || return $failed
  say "lint: clippy is not finished after $ORDO_CLIPPY_TIME s, its dependencies are new: make lint runs it to the end"
}
clippy_malachite() {
  local failed=0
  (cd "$malachite" && timeout "${ORDO_CLIPPY_TIME:-0}" cargo clippy --release --locked --all-targets -- -D warnings) || failed=$?
  [ $failed = 124 ] || return $failed
  say "lint: clippy of malachite is not finished after $ORDO_CLIPPY_TIME s, its dependencies are new: make lint runs it to the end"
}
rustfmt_all() { cargo fmt --all --check && (cd "$malachite" && cargo fmt --check); }

step gofmt formatted
step "go vet" vetted
step staticcheck checked
step "go mod tidy" tidied
step "make proto" generated
if have shellcheck; then step shellcheck shells; else say "lint: no shellcheck: the scripts are not checked"; fi
if [ "${ORDO_LINT:-all}" = go ]; then exit; fi
check_native
step rustfmt rustfmt_all
step clippy clippy
step "clippy of malachite" clippy_malachite
