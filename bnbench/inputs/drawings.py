"""Drawings (SVG) as pictures, by the optional package resvg_py: bounded, and nothing outside the file is read."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.parsers import expat

import matplotlib

_LARGEST = 2**24  # bytes of a file
_LONGEST = 120  # seconds; the reader's own limit, of processor time, comes first where there is one
_READER = Path(__file__).with_name("drawing_reader.py")
_FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
_XLINK = "http://www.w3.org/1999/xlink"
_NO_TEXT = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"RIFF")  # how other pictures begin
_WITHIN = ("#", "data:image/png", "data:image/jpeg", "data:image/gif", "data:image/webp")  # what a drawing may show


class DrawingError(ValueError):
    """A drawing that is not read; the message says why and what would do, and the file's name fits before it."""


def is_drawing(path: Path, content: bytes) -> bool:
    """Return whether a file is an SVG, by its ending or its first bytes; a PNG may hold one as a comment."""
    begins = content[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return not content.startswith(_NO_TEXT) and (
        path.suffix.lower() == ".svg" or (begins.startswith(b"<") and b"<svg" in begins)
    )


def draw_drawing(content: bytes, longest: int) -> bytes:
    """Draw an SVG as a PNG, in a process of its own that has a gibibyte and half a minute.

    Args:
        content: the SVG's bytes, in UTF-8.
        longest: number of pixels of the longer side.

    Returns:
        The bytes of a PNG, transparent where nothing is drawn.

    Raises:
        DrawingError: the package is missing; or the drawing is damaged, has entities, refers to something outside
            itself, or takes more memory or time.
    """
    if find_spec("resvg_py") is None:
        raise DrawingError(
            "is an SVG drawing, which needs the package resvg_py; pip install 'bnbench[svg]' installs it, "
            "or export the drawing as a PNG."
        )
    if len(content) > _LARGEST:
        raise DrawingError(f"is an SVG of over {_LARGEST >> 20} MiB; export it as a PNG.")
    _check(content)
    try:
        text = content.decode("utf-8-sig").encode()
    except UnicodeDecodeError:
        raise DrawingError("is an SVG that is not in UTF-8; save it so, or export it as a PNG.") from None
    fonts = (str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name) for name in _FONTS)
    command = (sys.executable, "-P", str(_READER), str(longest), *fonts)  # -P: what lies beside it is no library
    try:
        drawn = subprocess.run(command, input=text, capture_output=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired:
        raise DrawingError("is an SVG that takes too long to draw; export it as a PNG.") from None
    if drawn.returncode == 1:
        reason = " ".join(drawn.stderr.decode(errors="replace").split())[-160:]
        raise DrawingError(f"is an SVG that cannot be drawn ({reason}); export it as a PNG.")
    if drawn.returncode:
        raise DrawingError("is an SVG that takes too much memory or time to draw; export it as a PNG.")
    return drawn.stdout


def _check(content: bytes) -> None:
    """Refuse what is no XML, and what would read or unfold something that is not drawn in the file itself."""
    parser = expat.ParserCreate(namespace_separator=" ")

    def refuse_entity(name: str, *_: object) -> None:
        raise DrawingError(f"is an SVG with entities of its own (&{name};), which are not read; export it as a PNG.")

    def refuse_outside(element: str, attributes: dict[str, str]) -> None:
        for name in ("href", f"{_XLINK} href"):
            target = attributes.get(name, "#").strip()
            if not target.lower().startswith(_WITHIN) and element.rpartition(" ")[2] != "a":  # a link shows nothing
                shown = target if len(target) <= 80 else f"{target[:80]}…"
                raise DrawingError(f"is an SVG that refers to {shown!r}, outside itself; export it as a PNG.")

    parser.EntityDeclHandler = refuse_entity
    parser.StartElementHandler = refuse_outside
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        if isinstance(error, DrawingError):
            raise
        raise DrawingError(f"is a damaged SVG ({error}); save it anew, or export it as a PNG.") from error
