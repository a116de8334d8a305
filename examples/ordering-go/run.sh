#!/usr/bin/env bash
# Builds the policy and runs it in a development node. Flags go to `ordo dev`.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
plugin="$root/bin/examples/ordering-go"

[ -x "$root/bin/ordo" ] || make -C "$root" build
go build -o "$plugin" .
# On demand, so that transactions wait for each other: the order of one is no order.
exec "$root/bin/ordo" dev --ordering "$plugin" --block-generation-on demand "$@"
