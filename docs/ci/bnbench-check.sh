#!/bin/sh
# Holds a project to a baseline of bnbench check, on any machine with Python 3.11 or newer:
#
#     BNBENCH=git+https://github.com/OWNER/bnbench@REVISION sh bnbench-check.sh --arms plain,bn
#
# BNBENCH is what pip takes, a git URL or a path: bnbench is not on a package index. It is installed into VENV once,
# and again when BNBENCH names something else; without BNBENCH the one that is there is used. Exit code 0: within;
# 1: outside; 2: a wrong request. The findings: bnbench-check.xml and bnbench-check.md.
set -eu

VENV=${VENV:-.venv-bnbench}
stamp=$VENV/bnbench-source
installed=
if [ -f "$stamp" ]; then
    installed=$(cat "$stamp")
fi
BNBENCH=${BNBENCH:-$installed}
if [ -z "$BNBENCH" ]; then
    echo "bnbench-check.sh: BNBENCH is not set; say where pip finds bnbench, a git URL or a path." >&2
    exit 2
fi
if [ "$BNBENCH" != "$installed" ]; then
    rm -f "$stamp"
    python3 -m venv "$VENV"
    # Else pip would keep an installed bnbench of another revision but the same version number.
    "$VENV/bin/python" -m pip uninstall --quiet --quiet --yes bnbench
    "$VENV/bin/python" -m pip install --quiet "$BNBENCH"
    printf '%s\n' "$BNBENCH" > "$stamp"
fi
"$VENV/bin/bnbench" check "${BASELINE:-baseline.json}" --junit bnbench-check.xml --markdown bnbench-check.md "$@"
