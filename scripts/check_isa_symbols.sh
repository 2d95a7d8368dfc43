#!/usr/bin/env bash
# check_isa_symbols.sh BUILD: compiles every source that has instruction-set flags of its own
# (cmake/isa.cmake) once more without optimisation, with the flags of BUILD/compile_commands.json,
# and fails if an object has a weak symbol. The linker keeps one copy of a weak symbol: if it were
# this one, baseline code would run instructions that the processor may lack.
set -uo pipefail
build=${1:?usage: check_isa_symbols.sh BUILD}
commands=$build/compile_commands.json
[[ -f $commands ]] || { echo "$commands: not there; configure the build first" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# FILE <tab> command that writes the object to $work
python3 - "$commands" "$work" >"$work/list" <<'PYTHON' || exit 1
import json
import pathlib
import re
import shlex
import sys

for number, entry in enumerate(json.load(open(sys.argv[1], encoding="utf-8"))):
    name = pathlib.Path(entry["file"]).name
    if not re.search(r"_(avx2|avx512|vnni|amx|neon)\.cpp$", name):
        continue
    words = shlex.split(entry["command"])
    words = [word for word in words if not word.startswith(("-O", "-fsanitize"))]
    words[words.index("-o") + 1] = f"{sys.argv[2]}/{number}.o"
    print(entry["file"], f"{sys.argv[2]}/{number}.o", shlex.join([*words, "-O0"]), sep="\t")
PYTHON

checked=0 failed=0
while IFS=$'\t' read -r file object command; do
  if ! bash -c "$command"; then
    failed=1
    continue
  fi
  checked=$((checked + 1))
  # W, V: weak; u: unique global (inline variables and statics of inline functions)
  weak=$(nm -C "$object" | grep -E '^[0-9a-f]+ [WVu] ')
  if [[ -n $weak ]]; then
    printf '%s has weak symbols:\n%s\n' "$file" "$weak"
    failed=1
  fi
done <"$work/list"
[[ $checked -gt 0 ]] || { echo "no instruction-set sources in $commands"; failed=1; }
[[ $failed -eq 0 ]] && echo "$checked instruction-set objects without weak symbols"
exit "$failed"
