"""``--data``: a known data set by its name, or a user's own images by where they lie."""

from __future__ import annotations

from pathlib import Path

from bnbench.protocol.datasets import DATASETS, OWN
from bnbench.protocol.parsing import parse_folder


def parse_data(text: str, option: str = "--data") -> tuple[str, Path | None]:
    """Read which images are meant: the name of a known data set, or else a folder or file.

    Returns:
        The data set's name, and where its files lie, None where that is not said.

    Raises:
        RequestError: it is empty, or begins with the home folder of nobody.
    """
    if text in DATASETS and text != OWN:
        return text, None
    return OWN, parse_folder(text, option)
