#!/usr/bin/env bash
# Installs what is missing from a list (packages.txt, or the one given) through apt, after saying so. Asks nothing.
set -euo pipefail
list="${1:-$(dirname "$0")/packages.txt}"
missing=()
while read -r name _; do
    case "$name" in ''|'#'*) continue ;; esac
    dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done <"$list"
if [ ${#missing[@]} -eq 0 ]; then
    echo "setup: every Debian package of $list is installed"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "setup: this machine has no apt-get; install by hand: ${missing[*]}" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run as root, or install by hand: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
fi
echo "setup: installing with apt-get: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
echo "setup: done"
