"""What may lie behind a gap in the difference, in a chapter of the page."""

from __future__ import annotations

import math

import pandas as pd

from bnbench.protocol.profiles import LONGER_FITS, changes
from bnbench.report import tables
from bnbench.report.arms import ComparedArms, arm_order, of_arms
from bnbench.report.chapters.chapter import Chapter, drawable
from bnbench.report.chapters.headline import colours_words
from bnbench.report.figures.difference_over_steps import difference_over_steps
from bnbench.report.tables import Table
from bnbench.results.sweeps import Sweep
from bnbench.stats import differences, settling
from bnbench.wording import interval_words, percent_tenths, signed

NAME = "fitted"
TITLE = "What lies behind the gap?"
_NEARLY_ALL = 0.9  # from this share of clamped pixels in every arm on the objective is as good as satisfied
_BOTH_COLOURS = (
    "Better black pixels do not show that an arm has settled; the table sets both colours, in accuracy and in loss, "
    "and the objective side by side."
)
_QUANTITIES_NOTE = (
    "Gap: mean paired difference; low, high: its 95 % t interval, variance within each p, df degrees of freedom; "
    "effect size: Cohen's d_z; positive gaps: pairs whose gap is above 0; sign flip p: test over pairs; "
    "seed flip p: signs of whole seeds flipped together, so it cannot fall below 2 / 2ⁿ with n seeds"
)
_END_NOTE = (
    "Means over fits, every p weighing the same. Clamped: share of sampled white pixels whose minibatch loss lay above "
    "the threshold, over the last tenth of the steps; beyond threshold: share of a fit's trained white pixels whose "
    "loss on the measured images does; "
    "before, end: minibatch accuracy, black − white, over the tenth before the last quarter and over the last tenth; "
    "moved: end − before; low, high: its 95 % t interval, variance within each p. "
    "The last row of two arms: their paired gap"
)


def chapter(sweep: Sweep, fits: pd.DataFrame, compared: ComparedArms | None) -> Chapter:
    """Return what these fits allow of the chapter: sentences, the difference against steps, two tables.

    Args:
        sweep: what was read, at least one fit.
        fits: a row per fit, see :func:`bnbench.report.tables.fits_table`.
        compared: the arms to compare, or None.
    """
    sentences, shown = [], []
    if compared:
        sentences.append(f"{colours_words(fits, compared)} {_BOTH_COLOURS}")
        frame = tables.quantities_table(fits, compared.first, compared.second)
        shown.append(Table("quantities", f"{compared.gap_name} in all that was measured", _QUANTITIES_NOTE, frame))
    if "step" in sweep.traces:
        end = end_table(sweep, compared)
        shown.append(Table("training_end", "Where training stopped", _END_NOTE, end))
        sentences.append(clamped_words(end, sweep.protocol.training.threshold))
        sentences.append(moved_words(end, sweep.protocol.training.schedule))
        if compared:
            sentences.append(order_words(sweep.traces, compared))
    figures = drawable([difference_over_steps(sweep.traces, compared)])
    return Chapter(NAME, TITLE, [text for text in sentences if text], figures, shown)


def caution(sweep: Sweep) -> str:
    """Write a sentence where nearly all white pixels of all arms were past the threshold; else an empty one."""
    if "step" not in sweep.traces:
        return ""
    end = settling.settled(settling.ends(sweep.traces)).set_index("arm")
    end = end.loc[arm_order(end.index)].reset_index()
    if not is_nearly_satisfied(end):
        return ""
    clamped = end.set_index("arm")["clamped"].to_dict()
    shares = of_arms(clamped, lambda arm: f"{arm} {percent_tenths(clamped[arm])}")
    return (
        f"When training stopped, nearly every sampled white pixel of every arm ({shares}) was past the threshold of "
        f"{sweep.protocol.training.threshold:g} and pushed no further: the gap on white pixels lies beyond what the "
        "fits were asked for."
    )


def status(sweep: Sweep) -> list[tuple[str, str]]:
    """Answer two questions that limit every number of a page, whatever the numbers: each with its answer in a sentence.

    Whether the fits have settled, and how many white pixels were past the threshold, where the objective asks no more;
    where these are nearly all, the second answer is the :func:`caution`.
    """
    settled, past = "Have the fits settled?", "White pixels past the threshold?"
    if "step" not in sweep.traces:
        return [(settled, "Nobody knows: no trace of their training is left."), (past, "No trace tells.")]
    end = end_table(sweep, None)
    moved, clamped = (end.set_index("arm")[name].dropna().to_dict() for name in ("moved", "clamped"))
    protocol = sweep.protocol
    known = "" if changes(protocol) else LONGER_FITS.get(protocol.profile, "")
    still = (
        f"{known or 'These fits alone cannot show it: longer fits tell.'} The last quarter "
        f"moved contrast by {of_arms(moved, lambda arm: f'{arm} {signed(moved[arm])}')}."
    )
    threshold = sweep.protocol.training.threshold
    asked = f"Past a loss of {threshold:g} the objective asks for no more."
    shares = of_arms(clamped, lambda arm: f"{arm} {percent_tenths(clamped[arm])}")
    white = caution(sweep) or f"Of those that were sampled last, {shares}. {asked}"
    return [
        (settled, still if moved else known or "These fits are too short to show it: longer ones tell."),
        (past, white if clamped else "The traces do not tell."),
    ]


def is_nearly_satisfied(end: pd.DataFrame) -> bool:
    """Say whether there are several arms, each with at least 90 % of its sampled white pixels clamped at the end."""
    return len(end) > 1 and bool((end["clamped"] >= _NEARLY_ALL).all())


def end_table(sweep: Sweep, compared: ComparedArms | None) -> pd.DataFrame:
    """Return where training stopped, see :func:`bnbench.stats.settling.settled`: a row per arm, then the gap's."""
    ends = settling.ends(sweep.traces)
    table = settling.settled(ends).set_index("arm")
    pixels = sweep.landscapes
    white = pixels.loc[pixels["trained"] & ~pixels["black"], ["arm", "p", "seed", "test_loss"]]
    white = white.assign(beyond=white["test_loss"] >= sweep.protocol.training.threshold)
    shares = white.groupby(["arm", "p", "seed"])["beyond"].mean().reset_index().groupby("arm")
    beyond = {arm: differences.mean_over_p(of, "beyond") for arm, of in shares}
    table.insert(2, "beyond_threshold", table.index.map(beyond))
    table = table.loc[arm_order(table.index)].reset_index()
    if compared is None:
        return table
    gap = settling.gap_moved(ends, compared.first, compared.second)
    return pd.concat([table, pd.DataFrame([{"arm": f"gap {compared.gap_name}", **gap}])], ignore_index=True)


def clamped_words(end: pd.DataFrame, threshold: float) -> str:
    """Say how many white pixels had all the loss that the objective asks for."""
    rows = end.dropna(subset=["clamped"])
    if rows.empty:
        return ""
    clamped, beyond = (rows.set_index("arm")[name].to_dict() for name in ("clamped", "beyond_threshold"))
    shares = of_arms(
        clamped,
        lambda arm: f"{percent_tenths(clamped[arm])} of {arm}'s (on the measured images {percent_tenths(beyond[arm])})",
    )
    text = (
        f"White pixels are pushed up to a loss of {threshold:g} and no further. When training stopped, so many were "
        f"beyond it and gave no gradient: {shares}. What accuracy is left there, the objective no longer asks to lower."
    )
    if is_nearly_satisfied(rows):
        text += (
            " So nearly every white pixel, in every arm, had what the objective wants: a gap in white accuracy "
            "says how far beyond the threshold the arms came to rest and how accurate each is at such a loss, not how "
            "far they could have been pushed."
        )
    return text


def moved_words(end: pd.DataFrame, schedule: str) -> str:
    """Say how far the last quarter of the steps still moved every arm."""
    rows = end.dropna(subset=["moved"])
    if rows.empty:
        return "The traces are too short to say how far the fits still moved when training stopped."
    gap = rows.loc[rows["arm"].str.startswith("gap ")]
    texts = {
        row["arm"]: f"{row['arm']} by {signed(row['moved'])}{_interval_words(row['low'], row['high'])}"
        for row in rows.to_dict("records")
    }
    moved = rows.drop(gap.index).set_index("arm")["moved"].to_dict()
    said = "; ".join([of_arms(moved, texts.__getitem__), *(f"the {texts[arm]}" for arm in gap["arm"])])
    text = f"The last quarter of the steps moved the difference on training minibatches of {said}."
    if schedule == "cosine":
        text += (
            " The learning rate falls to zero along a cosine, so every curve ends flat, settled or not: only longer "
            "fits tell."
        )
    return text


def order_words(traces: pd.DataFrame, compared: ComparedArms) -> str:
    """Say since when the gap has had its sign."""
    course = settling.gap_course(settling.smooth(traces), compared.first, compared.second)
    if course.empty or not (ahead := course["mean"].iloc[-1]):
        return ""
    arm, step, last = (
        compared.first if ahead > 0 else compared.second,
        settling.ahead_since(course),
        traces["step"].max(),
    )
    if step == course["step"].iloc[0]:
        return f"On training minibatches {arm} had the larger contrast, on the mean of the pairs, from the start."
    since = f"since step {step:,.0f} of {last:,}"
    return f"On training minibatches {arm} has had the larger contrast, on the mean of the pairs, {since}."


def _interval_words(low: float, high: float) -> str:
    return "" if math.isnan(low) else f" (95 % interval {interval_words(low, high)})"
