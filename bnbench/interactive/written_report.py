"""A report that has been written, as a notebook looks at it."""

from __future__ import annotations

from html import escape
from pathlib import Path

from bnbench.report import Report
from bnbench.wording import counted


class WrittenReport(Report):
    """A report that has been written: printed, it says where; in a notebook it is a link to its page."""

    @property
    def page(self) -> Path | None:
        """Return the page's path; None where no page was asked for."""
        return next((path for path in self.paths if path.suffix == ".html"), None)

    def __str__(self) -> str:
        return str(self.page or f"{counted(len(self.paths), 'file')}, the first {self.paths[0]}")

    def __repr__(self) -> str:
        return f"<WrittenReport {self}>"

    def _repr_html_(self) -> str:
        shown = escape(str(self))
        link = f'<a href="{escape(self.page.absolute().as_uri(), quote=True)}">{shown}</a>' if self.page else shown
        said = "; ".join(map(escape, self.headlines))
        return f"<p>{said}</p><p>{link}</p>"
