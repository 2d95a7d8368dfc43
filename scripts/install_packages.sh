#!/usr/bin/env bash
# install_packages.sh LIST…: installs the Debian packages named in the lists that are missing.
# Does nothing, and touches no network, when all are there.
set -euo pipefail

mapfile -t wanted < <(sed -e 's/#.*//' "$@" | awk 'NF { print $1 }')
if ! command -v dpkg-query >/dev/null; then
  # Not Debian: trust that the tools are there, and say what is needed when the first one is not.
  if command -v cmake >/dev/null && command -v ninja >/dev/null && command -v c++ >/dev/null; then
    exit 0
  fi
  {
    echo "quantlane: this system has no dpkg, so its build packages cannot be installed for you."
    echo "Install the equivalents of these Debian packages, then run the command again:"
    echo "  ${wanted[*]}"
  } >&2
  exit 1
fi

missing=()
for package in "${wanted[@]}"; do
  status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done
[[ ${#missing[@]} -eq 0 ]] && exit 0

as_root=()
if [[ $(id -u) -ne 0 ]]; then
  as_root=(sudo)
  [[ -t 0 ]] || as_root=(sudo -n)
fi
install=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive
  apt-get install -y -q --no-install-recommends "${missing[@]}")
give_up() {
  {
    echo "quantlane: $1"
    echo "Install these packages, then run the command again:"
    echo "  sudo apt-get update && sudo apt-get install ${missing[*]}"
  } >&2
  exit 1
}
command -v apt-get >/dev/null || give_up "packages are missing and there is no apt-get"
if [[ ${#as_root[@]} -gt 0 ]] && ! command -v sudo >/dev/null; then
  give_up "packages are missing, and installing them needs root or sudo"
fi
echo "installing: ${missing[*]}" >&2
# Package lists may be absent or old, in which case the first attempt fails.
if ! "${install[@]}" </dev/null >&2; then
  "${as_root[@]}" apt-get update -q </dev/null >&2 || give_up "apt-get update failed"
  "${install[@]}" </dev/null >&2 || give_up "apt-get could not install them"
fi
