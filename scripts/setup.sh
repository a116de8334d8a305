#!/usr/bin/env bash
# Sets up and builds everything that `ordo dev` needs, and with --tests what the tests need too.
# Idempotent: each step leaves a stamp that names the content it was done for; a second run takes seconds.
#
#   scripts/setup.sh            bin/ordo, bin/ordo-bench, bin/plugins/, bin/contracts/
#   scripts/setup.sh --tests    the same, the client libraries that the end-to-end tests drive, and the plugin malachite
#   scripts/setup.sh --malachite (or ORDO_MALACHITE=1)  the consensus plugin malachite too: Rust, about two minutes the first time;
#                               once it is there it is kept up to date
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib.sh

with_tests=false
with_malachite=false
for arg in "$@"; do
  case "$arg" in
    --tests) with_tests=true ;;
    --malachite) with_malachite=true ;;
    *) fail "unknown argument $arg" "usage: scripts/setup.sh [--tests] [--malachite]" ;;
  esac
done
case "${ORDO_MALACHITE:-}" in
  ''|0|off) ;;
  *) with_malachite=true ;;
esac
if $with_tests || [ -e bin/plugins/ordo-consensus-malachite ]; then with_malachite=true; fi

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
if $with_malachite; then build_malachite; fi
if $with_tests; then
  install_js
  compile_cairo
  install_python
  install_go_client
fi
done_in
