#!/usr/bin/env bash
# Make .venv with everything installed, with `tests` also what the tests need. Says one line per step, nothing when all
# is there already.
# PYTHON=/path/to/python chooses the interpreter; pip's own settings (PIP_INDEX_URL, ...) are respected.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { echo "setup: $*" >&2; }
die() { echo "setup: $*" >&2; exit 1; }
suits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        suits "$PYTHON" || die "PYTHON=$PYTHON is not a working Python 3.11 or newer"
        echo "$PYTHON"
        return
    fi
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11 python3.14 python /usr/bin/python3; do
        if suits "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    die "found no Python 3.11 or newer; install one, or say where it is: make PYTHON=/path/to/python3"
}

make_venv() {
    local python=$1
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        die "$python cannot make virtual environments: its venv module is missing (Debian and Ubuntu: apt install python3-venv)"
    say "making .venv with $("$python" --version)"
    "$python" -m venv --clear .venv >&2 || die "could not make .venv with $python"
}

install() {
    local what=$1
    shift
    say "installing $what (log: .venv/setup.log)"
    if ! .venv/bin/python -m pip install --disable-pip-version-check --no-input "$@" >>.venv/setup.log 2>&1; then
        grep -E '^(ERROR|error)' .venv/setup.log | tail -n 3 >&2 || tail -n 5 .venv/setup.log >&2
        if grep -q 'No space left' .venv/setup.log; then
            die "no space left while installing $what; free some and run the same command again"
        fi
        die "could not install $what; .venv/setup.log says why. Once that is mended, run the same command again"
    fi
}

# One set-up at a time; the lock is this folder's Makefile, so that nothing is left behind.
if command -v flock >/dev/null 2>&1; then
    exec 9<Makefile
    flock -n 9 || { say "waiting for another set-up"; flock 9; }
fi

# What was installed last: for which files, in which folder, and whether with what the tests need.
wanted="$(sha256sum pyproject.toml scripts/setup.sh | sha256sum | cut -d' ' -f1) $PWD"
there=$(cat .venv/setup.stamp 2>/dev/null || true)
if [ -x .venv/bin/contextrl ] && suits .venv/bin/python; then
    case "$there" in
    "$wanted tests") exit 0 ;;
    "$wanted") [ "${1:-}" = tests ] || exit 0 ;;
    esac
fi
if ! suits .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    make_venv "$python"
fi
rm -f .venv/setup.stamp .venv/setup.log
torch=$(grep -oE '"torch==[^"]+"' pyproject.toml | tr -d '"')
install "$torch, the largest part" "$torch"
if [ "${1:-}" = tests ]; then
    install "contextrl and what its tests need" --editable '.[test,postgres]'
else
    install "contextrl and what it needs" --editable '.[postgres]'
fi
echo "$wanted${1:+ $1}" >.venv/setup.stamp
say "ready"
