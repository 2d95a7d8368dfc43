#!/usr/bin/env bash
# Builds everything with the address and undefined-behaviour sanitizers and runs the unit tests. The
# tests of the whole program are left out: in a debug build they take hours, and their memory limits
# do not hold under a sanitizer.
set -euo pipefail
cmake --preset dev
cmake --build --preset dev
ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
  UBSAN_OPTIONS=print_stacktrace=1 \
  ctest --preset dev -j "$(nproc)" -E '^(cli|end_to_end)\.'
