#!/usr/bin/env bash
# canary.sh [REPEATS]: wall time and peak memory of `compare` without arguments (3 times), from nothing.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
quantlane=${QUANTLANE:-$here/../build/release/quantlane}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 "$here/measure.py" --machine
for ((repeat = 1; repeat <= ${1:-3}; repeat++)); do
  python3 "$here/measure.py" "compare, embedded model, run $repeat" \
    "$quantlane" compare --out "$out/$repeat" 2>/dev/null
done
