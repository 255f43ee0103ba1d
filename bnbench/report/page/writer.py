"""Where a report's files go: figures and tables below one folder, in the formats asked for, remembered as written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from markupsafe import Markup
from matplotlib.figure import Figure as Drawing

from bnbench.report.chapters.chapter import Chapter
from bnbench.report.chapters.section import Section
from bnbench.report.figures.figure import Figure
from bnbench.report.figures.style import as_files
from bnbench.report.page.page import Picture
from bnbench.report.page.svg import inline_svg
from bnbench.report.tables import Table, in_markdown
from bnbench.results.layout import write_atomically

_DRAWN = ("pdf", "png", "svg")


def draw_files(draw: Callable[[], Drawing], endings: Collection[str]) -> dict[str, bytes]:
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

    def section(self, section: Section) -> dict[str, Picture]:
        """Write all figures, captions and tables of a section, and return its pictures by name.

        ``style.print_style`` must hold.
        """
        tables = [*section.all_tables, *(figure.table for figure in section.all_figures)]
        for table in {table.name: table for table in tables}.values():
            self.table(table)
        if section.all_figures:
            self._captions(section.all_figures)
        return {figure.name: self.picture(figure) for figure in section.all_figures}

    def chapters(self, chapters: Sequence[Chapter]) -> dict[str, Picture]:
        """Write the figures, captions and tables of chapters that go across protocols, and return the pictures by name.

        ``style.print_style`` must hold.
        """
        figures = [figure for chapter in chapters for figure in chapter.figures]
        for table in {table.name: table for chapter in chapters for table in chapter.tables}.values():
            self.table(table)
        if figures:
            self._captions(figures)
        return {figure.name: self.picture(figure) for figure in figures}

    def picture(self, figure: Figure) -> Picture:
        """Draw a figure if a format needs it, save it in every format and make it fit for the page.

        ``style.print_style`` must hold.
        """
        endings = [ending for ending in _DRAWN if ending in self.formats]
        links = [("CSV", self._link("tables", f"{figure.table.name}.csv"))] if "csv" in self.formats else []
        links += [(ending.upper(), self._link("figures", f"{figure.name}.{ending}")) for ending in endings]
        on_page = "html" in self.formats and figure.on_page
        contents = draw_files(figure.draw, {*endings, "svg"} if on_page else endings)
        for ending in endings:
            self.write(self._path("figures", f"{figure.name}.{ending}"), contents[ending])
        drawings = [self._inline(contents["svg"], figure.name, figure.caption)] if on_page else []
        if on_page and figure.narrow:
            content = draw_files(partial(figure.narrow, narrow=True), ["svg"])["svg"]
            drawings.append(self._inline(content, f"{figure.name}-narrow", figure.caption))
        return Picture(figure, links, drawings)

    def table(self, table: Table) -> None:
        """Write a table as CSV and Markdown, or as CSV alone where nobody reads it."""
        if "csv" in self.formats:
            text = table.frame.to_csv(index=False, lineterminator="\n")
            self.write(self._path("tables", f"{table.name}.csv"), text.encode())
        if "md" in self.formats and table.on_page:
            self.write(self._path("tables", f"{table.name}.md"), table.markdown().encode())

    def write(self, path: Path, content: bytes) -> None:
        """Write a file and remember it; what it holds is never read back: another report may write there too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        self.digests[path] = hashlib.sha256(content).hexdigest()

    def _captions(self, figures: Sequence[Figure]) -> None:
        """Write every caption beside the figures, for whoever puts one in a paper."""
        if "md" in self.formats:
            text = "\n\n".join(f"**{figure.name}**: {in_markdown(figure.caption)}" for figure in figures)
            self.write(self._path("figures", "captions.md"), f"{text}\n".encode())

    def _path(self, kind: str, name: str) -> Path:
        return self.out / self.folder / kind / name

    def _inline(self, svg: bytes, name: str, caption: str) -> Markup:
        return inline_svg(svg.decode(), name, caption)

    @staticmethod
    def _link(kind: str, name: str) -> str:
        """Return the address of a file, as the page beside its folder writes it."""
        return f"{kind}/{name}"
