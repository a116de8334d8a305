#!/usr/bin/env bash
# Sets up and builds everything that `ordo dev` needs, and with --tests what the tests need too.
# Idempotent: each step leaves a stamp that names the content it was done for; a second run takes seconds.
#
#   scripts/setup.sh            bin/ordo, bin/ordo-bench, bin/plugins/, bin/contracts/
#   scripts/setup.sh --tests    the same, and the client libraries that the end-to-end tests drive
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

with_tests=false
for arg in "$@"; do
  case "$arg" in
    --tests) with_tests=true ;;
    *) fail "unknown argument $arg" "usage: scripts/setup.sh [--tests]" ;;
  esac
done

check_tools "$with_tests"
mkdir -p "$cache" "$stamps" bin/plugins bin/contracts

# Two clones share one Rust target folder, and two runs of one clone share bin/: one at a time.
exec 9>"$cache/lock"
if ! flock -n 9; then
  say "another set-up is running; waiting for it"
  flock 9
fi

check_native
build_rust
build_go
build_contracts
if $with_tests; then
  install_js
  compile_cairo
  install_python
  install_go_client
fi
done_in
