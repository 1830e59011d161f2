#!/usr/bin/env bash
# Proves the two commands on a bare Debian 12: a new tree with python3, python3-venv, make, git and
# ca-certificates and nothing else; the last commit is cloned there and `make demo` and `make test`
# run inside. Root only; about 2 GB of disk and a quarter of an hour.
#
#   tools/bare_debian.sh [--keep] [DIRECTORY]      DIRECTORY: where the tree goes; default: a new one
#
# The tree runs in mount and process namespaces of its own: whatever happens, no mount and no process
# outlives the script.
set -euo pipefail

source_tree=$(cd "$(dirname "$0")/.." && pwd)
packages=python3,python3-venv,make,git,ca-certificates
page_limit_s=60

say() { printf '\n== bare Debian: %s ==\n' "$*"; }
die() { printf 'bare_debian: %s\n' "$*" >&2; exit 1; }

# ---- outside the tree ------------------------------------------------------------------------

main() {
  local keep=no
  if [[ ${1:-} == --keep ]]; then keep=yes; shift; fi
  [[ $(id -u) == 0 ]] || die "needs root, for debootstrap and chroot; run: sudo $0"
  command -v debootstrap >/dev/null || die "needs debootstrap; run: apt-get install debootstrap"
  tree=${1:-$(mktemp -d /var/tmp/scot-bare-XXXXXX)}
  [[ ! -e $tree/etc ]] || die "$tree already holds a system; name an empty directory"
  [[ $keep == yes ]] || trap 'rm -rf --one-file-system "$tree"' EXIT

  say "making the tree in $tree"
  local from=$SECONDS
  mkdir -p "$tree"
  debootstrap --variant=minbase --include=$packages bookworm "$tree" >"$tree.log" 2>&1 ||
    die "debootstrap failed: $(tail -n 3 "$tree.log")"
  rm -f "$tree.log"
  echo "made in $((SECONDS - from)) s"
  carry_settings
  git clone --quiet --no-local "$source_tree" "$tree/srv/scot"

  unshare --mount --pid --fork --kill-child "$0" --mounted "$tree"
  say "both commands work"
}

carry_settings() {  # what this machine needs to reach its package indexes, the tree needs too
  local path
  for path in /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" "$HOME/.pip" \
    /etc/ssl/certs/ca-certificates.crt /usr/local/share/ca-certificates "${SSL_CERT_FILE:-}" "${PIP_CERT:-}" "${REQUESTS_CA_BUNDLE:-}"; do
    [[ -e $path ]] || continue
    mkdir -p "$tree$(dirname "$path")"
    # The tree's own links are absolute and would lead out of it: never write through one.
    cp -rL --remove-destination --no-target-directory "$path" "$tree$path"
  done
  cp -L --remove-destination /etc/resolv.conf /etc/hosts "$tree/etc/"
  [[ -d /etc/apt/apt.conf.d ]] || return 0
  { grep -lE '^ *Acquire::' /etc/apt/apt.conf.d/* || true; } | while read -r path; do
    cp "$path" "$tree/etc/apt/apt.conf.d/"
  done
}

# ---- in namespaces of its own ----------------------------------------------------------------

mounted() {
  tree=$1
  mount --make-rprivate /
  mount -t proc proc "$tree/proc"
  mount --rbind /sys "$tree/sys"
  mount --rbind /dev "$tree/dev"
  cp "$0" "$tree/srv/inside.sh"
  local name pass=(HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8)
  for name in $(compgen -e); do
    case $name in
      PIP_* | *_proxy | *_PROXY | SSL_CERT_* | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE)
        pass+=("$name=${!name}") ;;
    esac
  done
  chroot "$tree" /usr/bin/env -i "${pass[@]}" /bin/bash /srv/inside.sh --inside
}

# ---- inside the tree -------------------------------------------------------------------------

inside() {
  cd /srv/scot
  say "make demo, as a stranger: set-up first"
  local from=$SECONDS
  python3 -m tools.set_up
  echo "installed in $((SECONDS - from)) s"

  say "make demo"
  from=$SECONDS
  local output=/srv/demo.log
  setsid make demo >"$output" 2>&1 </dev/null &
  local demo=$!
  page_answers "$output" "$demo" || { cat "$output"; die "make demo ended, or gave no page within $page_limit_s s of the install"; }
  echo "the page answers $((SECONDS - from)) s after the install"
  kill -INT -- "-$demo"
  wait "$demo" || true
  nothing_left || die "processes left after Ctrl-C: $(pgrep_scot)"
  echo "Ctrl-C ended it and left no process"

  say "make test"
  make test
}

page_answers() {  # page_answers LOG PID: the URL that the demo printed gives a page in time
  local url='' deadline=$((SECONDS + page_limit_s))
  while ((SECONDS < deadline)) && kill -0 "$2" 2>/dev/null; do
    url=$(grep -oE 'http://[^[:space:]]+' "$1" | head -n 1) || true
    if [[ -n $url ]] && .venv/bin/python - "$url" <<'PYTHON'; then return 0; fi
import sys
import urllib.request

try:
    page = urllib.request.urlopen(sys.argv[1], timeout=5)
except OSError as error:
    sys.exit(f"not yet: {error}")
sys.exit(page.status != 200 or b"<html" not in page.read().lower())
PYTHON
    sleep 1
  done
  return 1
}

pgrep_scot() {  # every process of the virtual environment, by what it runs
  local link
  for link in /proc/[0-9]*; do
    if tr '\0' ' ' <"$link/cmdline" 2>/dev/null | grep -q '/srv/scot/\.venv\|\.venv/bin/'; then
      printf '%s: ' "${link#/proc/}"
      tr '\0' ' ' <"$link/cmdline"
      echo
    fi
  done
}

nothing_left() {  # within 5 s
  local deadline=$((SECONDS + 5))
  while ((SECONDS < deadline)); do
    [[ -n $(pgrep_scot) ]] || return 0
    sleep 0.2
  done
  return 1
}

case ${1:-} in
  --mounted) mounted "$2" ;;
  --inside) inside ;;
  *) main "$@" ;;
esac
