#!/usr/bin/env bash
# Runs the policy in a development node. Flags go to `ordo dev`.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)

[ -x "$root/bin/ordo" ] || make -C "$root" build
./setup.sh
# On demand, so that transactions wait for each other: the order of one is no order.
exec "$root/bin/ordo" dev --ordering "$PWD/plugin" --block-generation-on demand "$@"
