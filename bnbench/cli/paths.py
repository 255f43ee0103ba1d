"""Folders and files that options name: what is wrong with one is a sentence that says what would be accepted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from bnbench.wording import shown

_RESULTS = "give a folder that bnbench run wrote, such as results/quick, or one above several"


class _Named(click.Path):
    """A path; where it will not do, the message ends with what would."""

    def __init__(self, wanted: str, **how: bool) -> None:
        super().__init__(path_type=Path, **how)
        self.wanted = wanted

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path, if it is of the kind that is asked for."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            what = (param.opts[0] if isinstance(param, click.Option) else param.human_readable_name) if param else ""
            raise click.ClickException(f"{what} {shown(value)} {self._fault(Path(value))}; {self.wanted}.") from error

    def _fault(self, path: Path) -> str:
        is_there = False
        with suppress(OSError):  # of a name that is too long, or in a folder that may not be read
            is_there = path.exists()
        if not is_there:
            return "is not there"
        if path.is_dir() != self.dir_okay:
            return "is a folder" if path.is_dir() else "is a file"
        return "cannot be read"


RESULTS = _Named(_RESULTS, exists=True, file_okay=False)
BASELINE = _Named("give a file, such as benchmarks/baseline.json", dir_okay=False)
FINDINGS = _Named("give a file, such as findings.json", dir_okay=False)
results_argument = click.argument("results", type=RESULTS)
