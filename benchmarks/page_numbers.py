"""Write the numbers that README and docs hold, from the committed reports and results.

    python benchmarks/page_numbers.py [PAGE ...]

A page keeps the sentence beside its numbers, as a comment that readers do not see:

    <!-- numbers
    The gap is {{ quick.gap }}.
    -->
    The gap is 0.080.
    <!-- end of numbers -->

What stands between the comments is written anew; running the script twice changes nothing. Numbers of a sweep
come from the tables of its kept report (``nox -s reports`` makes them), so that a finished fit more changes no page.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pandas as pd
from capacity_numbers import CapacityNumbers
from check_numbers import CheckNumbers
from commits import unpublished_commits
from evidence_numbers import (
    against_steps,
    computed_anew,
    computed_twice,
    gaps_anew,
    gaps_on_masks,
    longer,
    longer_gaps,
    moved_on_masks,
    on_masks,
    on_tuned_masks,
    sensitivity,
)
from jinja2 import Environment, StrictUndefined
from ladder_numbers import LadderNumbers, LongerLadder
from readings import markdown as readings_as_markdown
from smoothness_numbers import SmoothnessNumbers
from sweep_numbers import Numbers, SpeedNumbers, equal_loss_by_p, equal_loss_share, fit_times, sweep_time
from tuning_numbers import TuningNumbers, tuned_capacity

from bnbench.wording import plain_number
from evidence import markdown, read_fits

ROOT = Path(__file__).parents[1]
PAGES = (*(ROOT / folder / "README.md" for folder in ("", "benchmarks", "evidence")), *sorted(ROOT.glob("docs/*.md")))
_OPENING, _CLOSING = "<!-- numbers\n", "<!-- end of numbers -->"
_BLOCK = re.compile(rf"(?m:^)( *){_OPENING}(.*?)\n\1-->\n(?:(?!{_OPENING}).)*?\1{_CLOSING}", re.DOTALL)


def kept_table(path: str, otherwise: str) -> str:
    """The table that a script has left, where it is committed; else a sentence that says it is not."""
    found = ROOT / path
    return found.read_text(encoding="utf-8").rstrip() if found.exists() else otherwise


def own_pictures() -> str:
    """A Markdown table of how far ``picture`` bends to five pictures, from what own_pictures.py has measured."""
    rows = pd.read_csv(ROOT / "benchmarks" / "own_pictures.csv").itertuples(index=False)
    cells = [[str(row[0]), f"{row[3]:.2f}", f"{row[4]:.2f}", plain_number(row[5]), f"{row[6]:.3f}"] for row in rows]
    return readings_as_markdown([["picture", "accuracy, black", "accuracy, white", "J", "right"], *cells])


def evidence(folder: str, **chosen: object) -> str:
    """A Markdown table of the protocols below ``evidence/``, a row for each; ``chosen`` names a knob and its value."""
    fits = read_fits(ROOT / "evidence" / folder)
    for name, value in chosen.items():
        fits = fits[fits[name] == value]
    return markdown(fits.sort_values(["mask_size", "images", "threshold", "steps"]))


def rendered(text: str) -> str:
    """A page with the numbers of today.

    Raises:
        ValueError: a block lacks its beginning or its end.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # Markdown, and our own
    values: dict[str, Any] = {
        "quick": Numbers("quick"),
        "compact": Numbers("compact"),
        "capacity": CapacityNumbers,
        "check": CheckNumbers(),
        "computed_anew": computed_anew,
        "computed_twice": computed_twice,
        "against_steps": against_steps,
        "equal_loss_by_p": equal_loss_by_p,
        "equal_loss_share": equal_loss_share,
        "evidence": evidence,
        "fit_times": fit_times,
        "gaps_anew": gaps_anew,
        "gaps_on_masks": gaps_on_masks,
        "kept_table": kept_table,
        "ladder": LadderNumbers,
        "longer": longer,
        "longer_ladder": LongerLadder,
        "longer_gaps": longer_gaps,
        "moved_on_masks": moved_on_masks,
        "on_masks": on_masks,
        "on_tuned_masks": on_tuned_masks,
        "own_pictures": own_pictures,
        "sensitivity": sensitivity,
        "smoothness": SmoothnessNumbers,
        "speed": SpeedNumbers,
        "sweep_time": sweep_time,
        "tuned_capacity": tuned_capacity,
        "tuning": TuningNumbers,
        "unpublished_commits": unpublished_commits,
    }

    def written(block: re.Match[str]) -> str:
        margin, template = block.groups()
        text = environment.from_string(template).render(values)
        return f"{margin}<!-- numbers\n{template}\n{margin}-->\n{text}\n{margin}<!-- end of numbers -->"

    now, blocks = _BLOCK.subn(written, text)
    if not text.count(_OPENING) == text.count(_CLOSING) == blocks:
        raise ValueError(f"a page has {text.count(_OPENING)} blocks of numbers, {text.count(_CLOSING)} of which end.")
    return now


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", metavar="PAGE", nargs="*", type=Path, default=PAGES)
    for page in parser.parse_args().pages:
        text = page.read_text(encoding="utf-8")
        try:
            now = rendered(text)
        except ValueError as error:
            raise SystemExit(f"{page}: {error}") from error
        if now != text:
            page.write_text(now, encoding="utf-8")
            print(f"{page.relative_to(ROOT) if page.is_relative_to(ROOT) else page}: written anew")


if __name__ == "__main__":
    main()
