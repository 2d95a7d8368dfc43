#!/usr/bin/env bash
# Names the tracked C++ files that differ from what clang-format 19 makes of them; --fix rewrites them.
set -euo pipefail
mode=(--dry-run -Werror)
[[ ${1:-} == --fix ]] && mode=(-i)
failed=0
while IFS= read -r -d '' file; do
  if ! clang-format-19 "${mode[@]}" "$file" 2>/dev/null; then
    echo "$file"
    failed=1
  fi
done < <(git ls-files -z '*.cpp' '*.h')
[[ $failed -eq 0 ]] || echo "not formatted as clang-format 19 does it; scripts/checks/format.sh --fix"
exit "$failed"
