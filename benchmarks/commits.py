"""Which code computed the committed fits, where the published history does not have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bnbench.protocol.protocol import FitKey
from bnbench.results.sweeps import Sweep, read_sweeps

ROOT = Path(__file__).parents[1]


def unpublished_commits() -> str:
    """A Markdown table of the committed fits whose commit is not part of the history, or that name none.

    Raises:
        SystemExit: the history is not all here.
    """
    if git("rev-parse", "--is-shallow-repository") != "false":
        raise SystemExit("this clone has no whole history: git fetch --unshallow")
    known = set(git("rev-list", "HEAD").split())
    lines = ["| fits | how many | commit that is named | torch |", "|---|---|---|---|"]
    for root in ("results", "evidence"):
        sweeps, broken = read_sweeps(ROOT / root)
        if broken:
            raise SystemExit(broken[0])
        for sweep in sorted(sweeps, key=lambda sweep: sweep.folders):
            lines += _unpublished(sweep, known)
    return "\n".join(lines)


def _unpublished(sweep: Sweep, known: set[str]) -> list[str]:
    """The rows of one sweep, a folder of its own for each that it lies in."""
    keys = sweep.provenance[["arm", "p", "seed"]].itertuples(index=False, name=None)
    where = [str(sweep.places.get(FitKey(*key), sweep.folder).relative_to(ROOT)) for key in keys]
    named = sweep.provenance.assign(where=where, git_revision=sweep.provenance["git_revision"].fillna("none"))
    counts = named.groupby(["where", "git_revision", "torch"]).size().reset_index()
    return [
        f"| `{folder}` | {fits} | {commit[:7]} | {torch} |"
        for folder, commit, torch, fits in counts.itertuples(index=False)
        if commit not in known
    ]


def git(*arguments: str) -> str:
    """What git answers in this repository."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()
