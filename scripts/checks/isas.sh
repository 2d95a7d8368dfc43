#!/usr/bin/env bash
# Runs the unit tests of the release build once for each instruction set that QUANTLANE_ISA can force on this CPU.
set -uo pipefail
failed=0 absent=()
# name → the CPU flags that it needs (core/cpu.h)
while read -r isa flags; do
  for flag in $flags; do
    if ! grep -qw "$flag" /proc/cpuinfo; then
      absent+=("$isa")
      continue 2
    fi
  done
  echo "--- QUANTLANE_ISA=$isa"
  if ! QUANTLANE_ISA=$isa build/release/quantlane doctor --json | grep -Eq "\"isa\": ?\"$isa\""; then
    echo "the override did not take effect"
    failed=1
  fi
  QUANTLANE_ISA=$isa ctest --test-dir build/release --output-on-failure -j "$(nproc)" \
    -E '^(cli|end_to_end)\.' </dev/null || failed=1
done <<'TABLE'
ref
avx2 avx2 fma f16c
avx512 avx512f avx512bw avx512vl avx512dq
avx512vnni avx512f avx512bw avx512vl avx512dq avx512_vnni
avx512bf16 avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16
TABLE
echo "not on this CPU, so not run: ${absent[*]:-none}"
exit "$failed"
