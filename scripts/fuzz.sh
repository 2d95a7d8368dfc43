#!/usr/bin/env bash
# fuzz.sh [SECONDS [TARGET…]]: builds the fuzz targets with clang and runs each for SECONDS (60), two
# at a time, from tests/fuzz/corpus/TARGET. Fails when one crashes; its input and log stay in
# build/fuzz/run/TARGET. Inputs that reach new code are kept there too: `fuzz.sh --merge [TARGET…]`
# adds the useful ones to the corpus.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.."

merge=no seconds=60
if [[ ${1:-} == --merge ]]; then
  merge=yes
  shift
elif [[ $# -gt 0 ]]; then
  seconds=$1
  shift
fi
targets=("$@")
if [[ ${#targets[@]} -eq 0 ]]; then
  for source in tests/fuzz/fuzz_*.cpp; do
    name=${source##*/fuzz_}
    targets+=("${name%.cpp}")
  done
fi

cmake --preset fuzz >/dev/null
cmake --build --preset fuzz --target fuzz_targets -j "${FUZZ_BUILD_JOBS:-$(nproc)}"

run_one() {
  local name=$1 seconds=$2
  local run=build/fuzz/run/$name
  local arguments=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=16384
    -print_final_stats=1 -artifact_prefix="$run/")
  mkdir -p "$run/corpus" "tests/fuzz/corpus/$name"
  [[ -f tests/fuzz/$name.dict ]] && arguments+=(-dict="tests/fuzz/$name.dict")
  if "build/fuzz/tests/fuzz/fuzz_$name" "${arguments[@]}" "$run/corpus" \
    "tests/fuzz/corpus/$name" >"$run/log" 2>&1; then
    echo "fuzz $name: ok, $(sed -n 's/^stat::number_of_executed_units: *//p' "$run/log") inputs"
  else
    echo "fuzz $name: FAILED; input and log in $run" >&2
    tail -n 40 "$run/log" >&2
    return 1
  fi
}
export -f run_one

if [[ $merge == yes ]]; then
  for name in "${targets[@]}"; do
    mkdir -p "build/fuzz/run/$name/corpus" "tests/fuzz/corpus/$name"
    "build/fuzz/tests/fuzz/fuzz_$name" -set_cover_merge=1 -use_counters=0 \
      "tests/fuzz/corpus/$name" "build/fuzz/run/$name/corpus"
  done
else
  printf '%s\n' "${targets[@]}" | xargs -P 2 -I {} bash -euo pipefail -c "run_one {} $seconds"
fi
