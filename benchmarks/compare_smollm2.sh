#!/usr/bin/env bash
# compare_smollm2.sh CHECKPOINT TEXT: wall time and peak memory of `compare` with its six default
# lanes on about 20,000 tokens (40 chunks of 512), from nothing.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
quantlane=${QUANTLANE:-$here/../build/release/quantlane}
[[ $# -eq 2 ]] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
python3 "$here/measure.py" --machine
python3 "$here/measure.py" "compare, 6 lanes, 40 x 512 tokens" \
  "$quantlane" compare "$1" --text "$2" --chunk 512 --chunks 40 --out "$out/report"
du -sh "$out/report" | sed "s|$out/||"
