#!/usr/bin/env bash
# Makes the Python environment of the plugin, once, outside of the repository.
set -euo pipefail
cd "$(dirname "$0")"
venv="${XDG_CACHE_HOME:-$HOME/.cache}/ordo/consensus-rotation"

cmp -s requirements.txt "$venv/requirements.txt" && exit 0
command -v python3 >/dev/null || { echo "python3 is missing: install it (Debian: apt-get install python3 python3-venv)" >&2; exit 1; }
echo "making a Python environment in $venv" >&2
python3 -m venv --clear "$venv" || { echo "python3 has no venv: install it (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
cp requirements.txt "$venv/requirements.txt" # last: it marks the environment as complete
