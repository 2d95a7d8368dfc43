#!/usr/bin/env bash
# prefill_vs_torch.sh CHECKPOINT TEXT [options]: see prefill_vs_torch.py.
# TORCH_PYTHON names a Python that has torch and transformers.
set -euo pipefail
exec "${TORCH_PYTHON:-python3}" "$(dirname "$(readlink -f "$0")")/prefill_vs_torch.py" "$@"
