"""The tables of both readings, from small folders, against what pandas says of the same pixels."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bnbench.measures.registry import REGISTERED
from bnbench.protocol.profiles import LONGER_FITS, PROFILES, title
from bnbench.report.tables import fits_table
from bnbench.results.sweeps import load, read_sweep
from tests.benchmark_scripts import benchmark_script
from tests.report.test_verdict import fits_of
from tests.sentences import numbers
from tests.synthetic import SMALL, write_sweep

KINDS = ("trained", "all")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("readings")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    write_sweep(folder / "results" / "quick", seeds=(1, 2))
    for steps in (300, 600):
        write_sweep(folder / "settling" / str(steps), probs=(0.5,), protocol=SMALL.with_knobs(steps=steps))
    return folder


@pytest.mark.parametrize("pixels", ["trained", "all"])
@pytest.mark.parametrize("images", ["test", "train"])
def test_readings_are_what_the_pixels_say(script: ModuleType, folder: Path, images: str, pixels: str) -> None:
    table = load(folder / "results" / "quick")
    counted = table[table["trained"]] if pixels == "trained" else table
    most = counted.assign(
        loss=counted[f"{images}_loss"].mask(~counted["black"], counted[f"{images}_loss"].clip(upper=2.5))
    )
    means = most.groupby(["arm", "p", "seed", "black"])[["loss", f"{images}_accuracy"]].mean().unstack("black")
    found = script.readings(read_sweep(folder / "results" / "quick"), images, pixels).set_index(["arm", "p", "seed"])
    assert len(found) == 8
    for name, column in (("objective", "loss"), ("difference", f"{images}_accuracy")):
        expected = means[column][True] - means[column][False]
        np.testing.assert_allclose(found[name], expected.loc[found.index], rtol=1e-5)


def test_readings_on_measured_images_are_those_of_the_report(script: ModuleType, folder: Path) -> None:
    sweep = read_sweep(folder / "results" / "quick")
    keys = ["arm", "p", "seed"]
    report = fits_table(sweep).set_index(keys)
    for pixels, ending in (("all", ""), ("trained", "_trained")):
        found = script.readings(sweep, pixels=pixels).set_index(keys).loc[report.index]
        for name in ("difference", "objective", "right"):
            np.testing.assert_allclose(found[name], report[f"{name}{ending}"], rtol=1e-6)
    assert {"difference", "objective", "right"} <= {measure.name for measure in REGISTERED}


def test_every_table_is_printed(script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.main(["--results", str(folder / "results"), "--settling", str(folder / "settling")])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    sweeps = [line for line in lines if line[0].endswith(" images")]
    assert [line[1:3] for line in sweeps] == [["trained", "4"], ["all", "4"]] * 2
    distances, (equal,) = [
        [line for line in lines if line[0] == title(SMALL) and (line[1] in KINDS) == is_kind]
        for is_kind in (True, False)
    ]
    assert [line[1] for line in distances] == list(KINDS), "distance to the authors' curve"
    assert equal[-1].endswith(" %"), "the gap at equal white loss"
    assert [line[:3] for line in lines if line[0] == "6×6"] == [["6×6", "300", "2"], ["6×6", "600", "2"]] * 2


def test_settings_are_counted_by_the_rules_of_the_headline(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "told": fits_of(0.2, -0.1, 0.0),
        "tie": fits_of(0.1, 0.004, 0.0),
        "tie too": fits_of(0.1, -0.004, 0.0),
        "open": fits_of(-0.1, 0.03, 0.0, sd=0.2),
    }
    tables = {name: fits.rename(columns=lambda column: column.removesuffix("_trained")) for name, fits in made.items()}
    knobs = {"told": (1, 1), "tie": (1, 2), "tie too": (2, 2), "open": (3, 3)}  # the last differs in both from all
    sweeps = [
        SimpleNamespace(
            name=name, protocol=SimpleNamespace(knobs=lambda name=name: zip("ab", knobs[name], strict=True))
        )
        for name in made
    ]
    monkeypatch.setattr(script, "readings", lambda sweep: tables[sweep.name])
    said = script.settings_counts(sweeps)
    assert {name: said[name] for name in ("settings", "smaller", "told", "tie", "open")} == {
        "settings": "four", "smaller": "three", "told": "one", "tie": "two", "open": "one",
    }  # fmt: skip
    means = {name: table.groupby("arm")["difference"].mean() for name, table in tables.items()}
    gaps = [mean["plain"] - mean["bn"] for mean in means.values()]
    assert said["gaps"] == f"−{-min(gaps):.2f} to {max(gaps):.2f}"
    moves = [
        abs(means[one][arm] - means[other][arm])
        for one, other in (("told", "tie"), ("tie", "tie too"))
        for arm in ("plain", "bn")
    ]
    assert said["moves"] == f"{min(moves):.2f} to {max(moves):.2f}"
    assert script.settings_counts(sweeps[:1])["moves"] == "none", "one setting moves nothing"


def test_sweeps_of_one_profile_have_names_of_their_own(script: ModuleType, folder: Path) -> None:
    sweeps = script.read([folder / "settling"])
    for table in (script.sweeps_table, script.authors_table, script.equal_loss_table):
        names = [row[0] for row in table(sweeps)[1:]]
        assert {"300" in name for name in names} == {True, False}
        assert all(("300" in name) != ("600" in name) for name in names)


def test_a_share_is_of_a_gap_of_its_own_sign(script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps = script.read([folder / "results"])
    for parts, share in (((-0.2, -0.15), "75 %"), ((0.2, -0.15), "–"), ((0.0, 0.1), "–")):
        monkeypatch.setattr(script, "at_equal_white_loss", lambda sweep, parts=parts: parts)
        assert script.equal_loss_table(sweeps)[1][-1] == share


def test_the_distance_to_the_authors_is_the_mean_over_p(script: ModuleType, folder: Path) -> None:
    sweep = read_sweep(folder / "results" / "quick")
    theirs = pd.read_csv(ROOT / "bnbench/report/figures/authors.csv").set_index(["arm", "p"])["difference"]
    fits = script.readings(sweep)
    for column, arm in ((2, "plain"), (3, "bn")):
        ours = fits[fits["arm"] == arm].groupby("p")["difference"].mean()
        apart = [abs(ours[p] - theirs[arm, p]) for p in (0.3, 0.5)]
        assert script.authors_table([sweep])[1][column] == f"{sum(apart) / 2:.3f}"


def slow_parts(table: pd.DataFrame, bins: int) -> tuple[float, float]:
    """The gap in white accuracy and its part at equal loss, pixel by pixel."""
    fits: dict[tuple[str, float, int], list[tuple[float, float]]] = {}
    for pixel in table.to_dict("records"):
        if pixel["trained"] and not pixel["black"]:
            key = (pixel["arm"], pixel["p"], pixel["seed"])
            fits.setdefault(key, []).append((float(pixel["test_loss"]), float(pixel["test_accuracy"])))
    pairs = [key[1:] for key in fits if key[0] == "plain" and ("bn", *key[1:]) in fits]
    losses = sorted(loss for pair in pairs for arm in ("plain", "bn") for loss, _ in fits[arm, *pair])
    edges = []
    for k in range(1, bins):  # the linear quantile: between two neighbours in the sorted list
        place = k / bins * (len(losses) - 1)
        below = int(place)
        edges.append(losses[below] + (place - below) * (losses[min(below + 1, len(losses) - 1)] - losses[below]))
    shares = {arm: [0.0] * bins for arm in ("plain", "bn")}
    sums = {arm: [0.0] * bins for arm in ("plain", "bn")}
    for pair in pairs:
        for arm in ("plain", "bn"):
            for loss, accuracy in fits[arm, *pair]:
                place = sum(loss > edge for edge in edges)
                shares[arm][place] += 1 / len(fits[arm, *pair]) / len(pairs)
                sums[arm][place] += accuracy / len(fits[arm, *pair]) / len(pairs)
    equal = 0.0
    for k in range(bins):
        if shares["plain"][k] and shares["bn"][k]:
            apart = sums["plain"][k] / shares["plain"][k] - sums["bn"][k] / shares["bn"][k]
            equal += (shares["plain"][k] + shares["bn"][k]) / 2 * apart
    return sum(sums["plain"]) - sum(sums["bn"]), equal


@pytest.mark.parametrize("bins", [1, 4, 20])
def test_the_gap_at_equal_white_loss_is_that_of_a_loop(script: ModuleType, tmp_path: Path, bins: int) -> None:
    write_sweep(tmp_path, seeds=(1, 2), arms=("plain", "bn", "skip"), skip=[("bn", 0.5, 2)])
    found = script.at_equal_white_loss(read_sweep(tmp_path), bins)
    np.testing.assert_allclose(found, slow_parts(load(tmp_path), bins), rtol=1e-9)
    gap, equal = found
    assert (bins == 1) == bool(np.isclose(gap, equal)), "one bin knows no loss"


def test_a_folder_that_cannot_be_read_ends_it(script: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "protocol.json").write_text("{")
    with pytest.raises(SystemExit, match=re.escape("protocol.json")):
        script.read([tmp_path])


AT_COMPACTS_LENGTH = ("settling-gpu", "settling-masks", "settling-anew", "speed")


@pytest.mark.parametrize(("profile", "size"), [("quick", (10, 10)), ("compact", (30, 30))])
def test_longer_fits_showed_what_the_page_says_of_a_profile(
    script: ModuleType, profile: str, size: tuple[int, int]
) -> None:
    found: dict[int, list[pd.DataFrame]] = {}
    for sweep in script.read([ROOT / "evidence" / name for name in ("settling", *AT_COMPACTS_LENGTH)]):
        if sweep.protocol.mask.mask_size == size and sweep.protocol.training.steps >= PROFILES[profile].training.steps:
            found.setdefault(sweep.protocol.training.steps, []).append(script.readings(sweep))
    said = [int(text.replace(",", "")) for text in numbers(LONGER_FITS[profile]) if "." not in text]
    assert sorted(found) == [PROFILES[profile].training.steps, *said]
    for steps, longer in pairwise(sorted(found)):
        pairs = pd.concat(found[steps]).merge(pd.concat(found[longer]), on=["arm", "p", "seed"])
        assert pairs["seed"].nunique() == (1 if longer == 48_000 else 3), "masks"
        assert (pairs["objective_y"] < pairs["objective_x"]).all(), "in every fit, whichever computation of it"
        assert (pairs["difference_y"] > pairs["difference_x"]).all() == ("contrast" in LONGER_FITS[profile])


@pytest.mark.nightly
def test_masks_that_were_fitted_at_several_lengths_are_shown_one_by_one() -> None:
    lines = benchmark_script("evidence_numbers").on_masks().splitlines()
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    rows = {(steps, int(seed)): cells for steps, seed, *cells in table[2:]}
    assert {seed for steps, seed in rows if steps == "3,000"} == {101, 102, 103}
    pixels = read_sweep(ROOT / "evidence/ladder/baseline").landscapes
    for (arm, seed), fit in pixels[pixels["trained"]].groupby(["arm", "seed"]):
        black, white = (fit[fit["black"] == colour] for colour in (True, False))
        contrast = black["test_accuracy"].mean() - white["test_accuracy"].mean()
        objective = black["test_loss"].mean() - white["test_loss"].clip(upper=2.5).mean()
        written = [cell.split(" / ")[arm == "bn"].replace("−", "-") for cell in rows["3,000", int(str(seed))][:2]]
        assert list(map(float, written)) == pytest.approx([contrast, objective], abs=6e-4)


@pytest.mark.nightly
def test_fits_that_were_computed_anew_lie_as_far_apart_as_their_pixels_say() -> None:
    found: dict[str, list[dict[str, float]]] = {}
    for folder in ("settling/compact-steps12000", "speed", "settling-anew"):
        pixels = read_sweep(ROOT / "evidence" / folder).landscapes
        for arm, fit in pixels[pixels["trained"] & (pixels["seed"] == 101)].groupby("arm"):
            black, white = (fit[fit["black"] == colour] for colour in (True, False))
            contrast = black["test_accuracy"].mean() - white["test_accuracy"].mean()
            objective = black["test_loss"].mean() - white["test_loss"].clip(upper=2.5).mean()
            found.setdefault(str(arm), []).append({"contrast": contrast, "objective": objective})
    spans = [pd.DataFrame(fits).max() - pd.DataFrame(fits).min() for fits in found.values()]
    script = benchmark_script("evidence_numbers")
    said = [float(number) for number in numbers(script.computed_anew(12_000))][:2]
    assert said == pytest.approx(pd.DataFrame(spans).max().tolist(), abs=6e-4)
    gaps = [plain["objective"] - bn["objective"] for plain, bn in zip(found["plain"], found["bn"], strict=True)]
    written = script.gaps_anew(12_000, "objective").replace("−", "-").split(" / ")
    assert list(map(float, written)) == pytest.approx(gaps, abs=6e-4)


@pytest.mark.nightly
def test_the_steps_until_a_mask_is_found_are_those_of_its_course() -> None:
    courses = read_sweep(ROOT / "evidence/speed").courses
    courses = courses[courses["pixels"] == "trained"]
    lines = benchmark_script("sweep_numbers").SpeedNumbers("speed").steps.splitlines()
    head, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines)
    assert len(rows) == courses["seed"].nunique() == 3
    for seed, *cells in rows:
        for arm, written in zip(head[1:], cells, strict=True):
            fit = courses[(courses["arm"] == arm) & (courses["seed"] == int(seed))].sort_values("step")
            before, after = (float(fit["step"][side].agg(end)) for side, end in fit_sides(fit["right"]))
            assert before < float(written.replace(",", "")) <= after


def fit_sides(right: pd.Series) -> list[tuple[pd.Series, str]]:
    """The measurements before the first that has 90 %, of which the last counts, and those from it on."""
    there = (right >= 0.9).cummax()
    return [(~there, "max"), (there, "min")]


@pytest.mark.parametrize("measure", ["right", "objective"])
def test_the_lead_passes_once_or_not_at_all(tmp_path: Path, measure: str) -> None:
    speed, better = benchmark_script("sweep_numbers").SpeedNumbers(tmp_path), -1 if measure == "objective" else 1
    (tmp_path / "tables").mkdir()

    def write(leads: list[int], name: str, **columns: object) -> None:
        """plain less bn at steps 10, 20 and so on, above 0 where plain is ahead."""
        rows = [
            {"step": 10 * k, "arm": arm, **columns, measure: better * lead * (arm == "plain")}
            for k, lead in enumerate(leads, 1)
            for arm in ("plain", "bn")
        ]
        pd.DataFrame(rows).rename(columns={measure: "mean"} if name == "measured_on_the_way" else {}).to_csv(
            tmp_path / "tables" / f"{name}.csv", index=False
        )

    write([-1, -2, 1, 2], "measured_on_the_way", measure=measure)
    assert speed.turn(measure) == (20, 30)
    for leads in ([-1, 1, -1, 1], [1, -1], [-1, -1], [-1, 0, 1]):
        write(leads, "measured_on_the_way", measure=measure)
        with pytest.raises(ValueError, match=measure):
            speed.turn(measure)
    write([-1, 0, 1], "courses", seed=1, pixels="trained")
    assert [speed.ahead(measure, step) for step in (10, 20, 30)] == ["0 of 1", "0 of 1", "1 of 1"], "a tie is no lead"
