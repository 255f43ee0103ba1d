"""Pictures that arms were bent to: a gallery for all sweeps that differ in the picture alone."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bnbench.protocol.mask_sizes import size_name
from bnbench.protocol.picture_text import picture_name
from bnbench.report.chapters.chapter import Chapter
from bnbench.report.figures.picture_gallery import picture_gallery
from bnbench.results.sweeps import Sweep
from bnbench.wording import counted

_ONE_SIZE = (30, 30)


def chapters(sweeps: Sequence[Sweep]) -> list[Chapter]:
    """Show the pictures: a chapter for each protocol that has any, with the first seed of each picture and arm."""
    groups: dict[str, list[Sweep]] = {}
    for sweep in sweeps:
        if sweep.protocol.mask.picture and len(sweep.identities):
            without = sweep.protocol.with_knobs(mask_size=_ONE_SIZE, picture="")
            groups.setdefault(without.hash, []).append(sweep)
    found: list[Chapter] = []
    for group in groups.values():
        found.append(_chapter(group, f"pictures-{len(found) + 1}" if found else "pictures"))
    return found


def _chapter(sweeps: Sequence[Sweep], name: str) -> Chapter:
    protocol = sweeps[0].protocol
    labelled = zip(sweeps, picture_labels(sweeps), strict=True)
    pixels = pd.concat([_first_seeds(sweep, label) for sweep, label in labelled], ignore_index=True)
    figure = picture_gallery(name, pixels, protocol.training.threshold, protocol.measurement.split)
    pictures = counted(pixels["picture"].nunique(), "picture")
    sentences = [
        f"A plane was bent to each of {pictures} in {protocol.training.steps:,} steps. Shown is the first seed of each "
        "arm. Whether a picture can be recognized is for the eye; right and J of every fit stand in the table of fits."
    ]
    return Chapter(name, "Pictures", sentences, [figure], [figure.table])


def picture_labels(sweeps: Sequence[Sweep]) -> list[str]:
    """Return what each sweep's picture is called: its name, with size and then hash where others have that name, too.

    Args:
        sweeps: of one picture each, no two of one protocol.
    """
    names = [picture_name(sweep.protocol.mask.picture) for sweep in sweeps]
    sized = [
        f"{name} {size_name(sweep.protocol.mask.mask_size)}" if names.count(name) > 1 else name
        for name, sweep in zip(names, sweeps, strict=True)
    ]
    return [
        f"{name} {sweep.protocol.hash[:6]}" if sized.count(name) > 1 else name
        for name, sweep in zip(sized, sweeps, strict=True)
    ]


def _first_seeds(sweep: Sweep, label: str) -> pd.DataFrame:
    """Return the pixels of each arm's first seed, with what the picture is called."""
    pixels = sweep.landscapes
    first = pixels.groupby("arm")["seed"].transform("min")
    return pixels[pixels["seed"] == first].assign(picture=label)
