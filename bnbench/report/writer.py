"""Where a report's files go: figures and tables below one folder, remembered as they are written."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from bnbench.report.page import Picture, inline_svg
from bnbench.report.style import save
from bnbench.report.tables import Table, in_markdown
from bnbench.store import write_atomically


class Writer:
    """Writes one sweep's files.

    Attributes:
        out: the report's folder, where the page lies.
        folder: this sweep's folder below it; empty if the report has but one.
        paths: what was written.
    """

    def __init__(self, out: Path, folder: str) -> None:
        self.out, self.folder = out, folder
        self.paths: list[Path] = []

    def picture(self, figure: Figure, name: str, caption: str, *, wide: bool = False) -> Picture:
        """Save a figure in every format and make it fit for the page.

        Args:
            figure: drawn inside ``style.print_style``, which must still hold.
            name: of its files, without the ending.
            caption: what it shows.
            wide: whether it needs both columns of the page.
        """
        folder = self._made("figures")
        self.paths += save(figure, folder, name)
        svg = inline_svg(folder / f"{name}.svg", f"{self.folder}-{name}", caption)
        return Picture(name, caption, folder.relative_to(self.out).as_posix(), svg, wide)

    def table(self, table: Table) -> Table:
        """Write a table as CSV and Markdown, and give it back."""
        self._write(self._made("tables") / f"{table.name}.csv", table.frame.to_csv(index=False, lineterminator="\n"))
        self._write(self._made("tables") / f"{table.name}.md", table.markdown())
        return table

    def captions(self, pictures: list[Picture]) -> None:
        """Write every caption beside the figures, for whoever puts one in a paper."""
        text = "\n\n".join(f"**{picture.name}**: {in_markdown(picture.caption)}" for picture in pictures)
        self._write(self._made("figures") / "captions.md", text + "\n")

    def _made(self, kind: str) -> Path:
        folder = self.out / self.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _write(self, path: Path, text: str) -> None:
        write_atomically(path, text.encode())
        self.paths.append(path)
