#!/usr/bin/env bash
# Builds every fuzz target with clang 19 and runs each for FUZZ_SECONDS (60).
set -euo pipefail
scripts/fuzz.sh "${FUZZ_SECONDS:-60}"
