#!/usr/bin/env bash
# Runs the release tests once for each instruction set that QUANTLANE_ISA can force on this CPU.
set -uo pipefail
failed=0 absent=()
# name → the CPU flags that it needs
while read -r isa flags; do
  for flag in $flags; do
    if ! grep -qw "$flag" /proc/cpuinfo; then
      absent+=("$isa")
      continue 2
    fi
  done
  echo "--- QUANTLANE_ISA=$isa"
  QUANTLANE_ISA=$isa ctest --test-dir build/release --output-on-failure -j "$(nproc)" </dev/null || failed=1
done <<'TABLE'
ref
avx2 avx2 fma f16c
avx512 avx512f avx512bw avx512vl avx512dq
vnni avx512f avx512bw avx512vl avx512dq avx512_vnni
TABLE
echo "not on this CPU, so not run: ${absent[*]:-none}"
exit "$failed"
