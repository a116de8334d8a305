#!/usr/bin/env bash
# Runs the policy in a development node. Flags go to `ordo dev`. ORDO=PATH names the ordo binary, or a checkout of ordo; without
# it the checkout around this folder is used, or else the ordo in PATH.
set -euo pipefail
cd "$(dirname "$0")"

ordo="${ORDO:-}"
if [ -z "$ordo" ]; then
  if [ -f ../../cmd/ordo/main.go ]; then ordo=../..; else ordo=$(command -v ordo || true); fi
fi
if [ -d "$ordo" ]; then
  [ -x "$ordo/bin/ordo" ] || make -C "$ordo" build
  ordo="$ordo/bin/ordo"
fi
if [ ! -x "$ordo" ]; then
  echo "no node to run the plugin in: set ORDO to the ordo binary, or to a checkout of ordo: ORDO=PATH $0" >&2
  exit 1
fi
./setup.sh
# On demand, so that transactions wait for each other: the order of one is no order.
exec "$ordo" dev --ordering "$PWD/plugin" --block-generation-on demand "$@"
