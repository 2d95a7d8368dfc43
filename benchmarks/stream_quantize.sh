#!/usr/bin/env bash
# stream_quantize.sh [options]: see stream_quantize.py.
set -euo pipefail
exec python3 "$(dirname "$(readlink -f "$0")")/stream_quantize.py" "$@"
