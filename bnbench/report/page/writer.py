"""Where a report's files go: figures and tables below one folder, in the formats asked for, remembered as written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure

from bnbench.report.figures.figure import ReportFigure
from bnbench.report.figures.style import as_files
from bnbench.report.page.page import Picture, inline_svg
from bnbench.report.tables import Table, in_markdown
from bnbench.results.layout import write_atomically

_DRAWN = ("pdf", "png", "svg")


def drawn(draw: Callable[[], Figure], endings: Collection[str]) -> dict[str, bytes]:
    """Draw a figure and return what its files hold; without an ending nothing is drawn."""
    return as_files(draw(), endings) if endings else {}


class Writer:
    """Writes one sweep's files.

    Attributes:
        out: the report's folder, where the page lies.
        folder: this sweep's folder below it; empty if the report has but one.
        formats: what to write, see :data:`bnbench.protocol.parsing.FORMATS`.
        digests: the SHA-256 of every file that was written.
    """

    def __init__(self, out: Path, folder: str, formats: Collection[str]) -> None:
        self.out, self.folder, self.formats = out, folder, formats
        self.digests: dict[Path, str] = {}

    def picture(self, figure: ReportFigure) -> Picture:
        """Draw a figure if a format needs it, save it in every format and make it fit for the page.

        ``style.print_style`` must hold.
        """
        name, caption = figure.name, figure.caption
        endings = [ending for ending in _DRAWN if ending in self.formats]
        links = [("CSV", self._link("tables", f"{figure.table}.csv"))] if "csv" in self.formats else []
        links += [(ending.upper(), self._link("figures", f"{name}.{ending}")) for ending in endings]
        on_page = "html" in self.formats
        contents = drawn(figure.draw, [*endings, "svg"] if on_page else endings)
        for ending in (known for known in contents if known in endings):
            self.write(self._place("figures", f"{name}.{ending}"), contents[ending])
        drawings = [self._on_page(contents["svg"], name, caption)] if on_page else []
        if on_page and figure.narrow:
            content = drawn(partial(figure.narrow, narrow=True), ["svg"])["svg"]
            drawings.append(self._on_page(content, f"{name}-narrow", caption))
        return Picture(name, caption, links, figure.table, drawings)

    def table(self, table: Table, endings: Collection[str] = ("csv", "md")) -> Table:
        """Write a table as CSV and Markdown, or one of them, and give it back."""
        if "csv" in endings and "csv" in self.formats:
            text = table.frame.to_csv(index=False, lineterminator="\n")
            self.write(self._place("tables", f"{table.name}.csv"), text.encode())
        if "md" in endings and "md" in self.formats:
            self.write(self._place("tables", f"{table.name}.md"), table.markdown().encode())
        return table

    def captions(self, pictures: list[Picture]) -> None:
        """Write every caption beside the figures, for whoever puts one in a paper."""
        if "md" in self.formats:
            text = "\n\n".join(f"**{picture.name}**: {in_markdown(picture.caption)}" for picture in pictures)
            self.write(self._place("figures", "captions.md"), f"{text}\n".encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write a file and remember it; what it holds is never read back: another report may write there too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        self.digests[path] = hashlib.sha256(content).hexdigest()

    def _place(self, kind: str, name: str) -> Path:
        return self.out / self.folder / kind / name

    def _on_page(self, svg: bytes, name: str, caption: str) -> Markup:
        return inline_svg(svg.decode(), f"{self.folder}-{name}", caption)

    def _link(self, kind: str, name: str) -> str:
        """The address of a file, as the page writes it."""
        return (Path(self.folder) / kind / name).as_posix()
