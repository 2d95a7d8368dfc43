#!/usr/bin/env bash
# quantize_vs_llamacpp.sh [options]: see quantize_vs_llamacpp.py.
set -euo pipefail
exec python3 "$(dirname "$(readlink -f "$0")")/quantize_vs_llamacpp.py" "$@"
