"""``--data``: a known data set by its name, or a user's own images by where they lie."""

from __future__ import annotations

from pathlib import Path

from bnbench.errors import RequestError
from bnbench.protocol.datasets import DATASETS, OWN
from bnbench.protocol.parsing import parse_folder


def parse_data(text: str, option: str = "--data") -> tuple[str, Path | None]:
    """Read which images are meant: the name of a known data set, or a folder or file that is there.

    Returns:
        The data set's name, and where its files lie, None where that is not said.

    Raises:
        RequestError: it is neither.
    """
    known = [name for name in DATASETS if name != OWN]
    if text in known:
        return text, None
    path = parse_folder(text, option)
    if not path.exists():
        raise RequestError(
            f"{option} {text}: there is no such folder or file, and no data set is called so; give a folder of images, "
            f"a .npz file, or {', '.join(known[:-1])} or {known[-1]}."
        )
    return OWN, path
