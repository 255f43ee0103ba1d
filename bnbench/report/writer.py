"""Where a report's files go: figures and tables below one folder, in the formats asked for, remembered as written."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from matplotlib.figure import Figure

from bnbench.layout import write_atomically
from bnbench.report.page import Picture, inline_svg
from bnbench.report.style import as_svg, save
from bnbench.report.tables import Table, in_markdown

_DRAWN = ("pdf", "png", "svg")


class Drawing(Protocol):
    """Draws a figure for a wide or a narrow place."""

    def __call__(self, *, narrow: bool = False) -> Figure:
        """A new figure; with ``narrow``, for one column of print."""


class Writer:
    """Writes one sweep's files.

    Attributes:
        out: the report's folder, where the page lies.
        folder: this sweep's folder below it; empty if the report has but one.
        formats: what to write, see :data:`bnbench.parsing.FORMATS`.
        paths: what was written.
    """

    def __init__(self, out: Path, folder: str, formats: Collection[str]) -> None:
        self.out, self.folder, self.formats = out, folder, formats
        self.paths: list[Path] = []

    def picture(self, figure: Figure, name: str, caption: str, table: str, *, narrow: Drawing | None = None) -> Picture:
        """Save a figure in every format and make it fit for the page.

        Args:
            figure: drawn inside ``style.print_style``, which must still hold.
            name: of its files, without the ending.
            caption: what it shows.
            table: the table that holds its numbers.
            narrow: draws the same for a narrow screen, if it needs both columns of a wide one.
        """
        endings = [ending for ending in _DRAWN if ending in self.formats]
        links = []
        if "csv" in self.formats:
            links.append(("CSV", self._link("tables", f"{table}.csv")))
        if endings:
            self.paths += save(figure, self._made("figures"), name, endings)
            links += [(ending.upper(), self._link("figures", f"{name}.{ending}")) for ending in endings]
        drawings = []
        if "html" in self.formats:
            drawn = (
                self.out / self.folder / "figures" / f"{name}.svg"
            )  # drawing it a second time would take as long again
            text = drawn.read_text(encoding="utf-8") if drawn in self.paths else as_svg(figure)
            drawings.append(inline_svg(text, f"{self.folder}-{name}", caption))
        if "html" in self.formats and narrow:
            drawings.append(inline_svg(as_svg(narrow(narrow=True)), f"{self.folder}-{name}-narrow", caption))
        return Picture(name, caption, links, table, drawings)

    def table(self, table: Table, endings: Collection[str] = ("csv", "md")) -> Table:
        """Write a table as CSV and Markdown, or one of them, and give it back."""
        if "csv" in endings and "csv" in self.formats:
            text = table.frame.to_csv(index=False, lineterminator="\n")
            self.write(self._made("tables") / f"{table.name}.csv", text)
        if "md" in endings and "md" in self.formats:
            self.write(self._made("tables") / f"{table.name}.md", table.markdown())
        return table

    def captions(self, pictures: list[Picture]) -> None:
        """Write every caption beside the figures, for whoever puts one in a paper."""
        if "md" in self.formats:
            text = "\n\n".join(f"**{picture.name}**: {in_markdown(picture.caption)}" for picture in pictures)
            self.write(self._made("figures") / "captions.md", text + "\n")

    def write(self, path: Path, text: str) -> None:
        """Write a file and remember it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
        self.paths.append(path)

    def _made(self, kind: str) -> Path:
        folder = self.out / self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _link(self, kind: str, name: str) -> str:
        """The address of a file, as the page writes it."""
        return (Path(self.folder) / kind / name).as_posix()
