"""The ladder's script at its smallest: what it runs, goes on with, and says of what is missing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bnbench.protocol.profiles import AUTHORS_CODE, PROFILES
from bnbench.protocol.protocol import Grid
from bnbench.report.figures.authors import authors_figure4
from bnbench.report.figures.style import PAPER, arm_colours
from bnbench.report.tables import fits_table
from bnbench.results import layout
from bnbench.results.sweeps import read_sweep
from tests.benchmark_scripts import benchmark_script
from tests.fits import TINY
from tests.sentences import numbers

BASE = TINY.with_knobs(test_images=0, mask_size=(8, 8))  # all of them; the table has rows for the first hundred, too
OPTIONS = [
    "--base",
    "smoke",
    "--seeds",
    "101,102",
    "--backend",
    "inline",
    "--devices",
    "cpu",
    "--jobs",
    "1",
    "--chunk",
    "8",
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return benchmark_script("ladder")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROFILES, "smoke", BASE)


@pytest.fixture(scope="module")
def climbed(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rungs of ten."""
    out = tmp_path_factory.mktemp("ladder") / "own"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "smoke", BASE)
        assert script.main([*OPTIONS, "--out", str(out), "--rungs", "baseline,threshold"]) == 0
    return out


def row_of(out: Path, rung: str, images: str, arm: str, pixels: str = "trained") -> dict[str, Any]:
    """One row of the table that was written."""
    found = pd.read_csv(out / "ladder.csv", dtype={"images": str})
    chosen = found[(found["rung"] == rung) & (found["images"] == images) & (found["arm"] == arm)]
    chosen = chosen[chosen["pixels"] == pixels]
    (row,) = chosen.to_dict("records")
    return {str(name): value for name, value in row.items()}


def test_a_rung_is_one_change_and_the_last_one_all_of_them(script: ModuleType) -> None:
    first, *single, last = script.rungs(PROFILES["compact"].with_knobs(split="held-out"))
    assert first.protocol.differences(PROFILES["compact"]).keys() == {"split"}
    changed = [{name: to for name, (to, _) in rung.protocol.differences(first.protocol).items()} for rung in single]
    fits = {name: to for name, to in AUTHORS_CODE.items() if name != "test_images"}
    assert changed == [{name: to} for name, to in fits.items()]
    assert last.protocol.differences(PROFILES["compact-authors"]).keys() == {"split", "test_images"}
    assert [rung.name for rung in single if rung.arms != ("plain", "bn")] == ["bn-scale"]
    assert {rung.protocol.measurement.split for rung in (first, *single, last)} == {"held-out"}


@pytest.mark.nightly
def test_the_table_is_what_the_reports_own_tables_say(climbed: Path) -> None:
    fits = {
        rung: fits_table(read_sweep(climbed / rung)).set_index(["arm", "seed"]) for rung in ("baseline", "threshold")
    }
    for arm in ("plain", "bn"):
        own, first = fits["threshold"].loc[arm], fits["baseline"].loc[arm]
        row = row_of(climbed, "threshold", "all", arm)
        assert (row["fits"], row["wanted"], row["pairs"]) == (2, 2, 2)
        for reading in ("difference", "right"):
            values, change = own[f"{reading}_trained"], own[f"{reading}_trained"] - first[f"{reading}_trained"]
            expected = [values.mean(), values.std(), change.mean(), change.std()]
            columns = [reading, f"{reading}_sd", f"{reading}_change", f"{reading}_change_sd"]
            np.testing.assert_allclose([row[name] for name in columns], expected, atol=1e-6)
        expected_objective = first["objective_trained"].mean()  # pixels are stored in 32 bits
        assert row_of(climbed, "baseline", "all", arm)["objective"] == pytest.approx(expected_objective, abs=1e-6)


@pytest.mark.nightly
@pytest.mark.parametrize("pixels", ["trained", "inside"])
def test_the_objective_is_that_of_the_rungs_own_threshold_and_so_is_its_change(climbed: Path, pixels: str) -> None:
    def objectives(rung: str) -> Any:
        landscapes = read_sweep(climbed / rung).landscapes
        chosen = landscapes[landscapes["trained"] & (landscapes["arm"] == "plain")]
        if pixels == "inside":
            within = chosen["row"].isin(range(2, BASE.mask.mask_size[0] - 2))
            chosen = chosen[within & chosen["column"].isin(range(2, BASE.mask.mask_size[1] - 2))]
        losses = [
            (fit.loc[fit["black"], "test_loss"].mean(), fit.loc[~fit["black"], "test_loss"].clip(upper=5.0).mean())
            for _, fit in chosen.groupby("seed")
        ]
        return np.array([black - white for black, white in losses])

    row = row_of(climbed, "threshold", "all", "plain", pixels)
    own, before = objectives("threshold"), objectives("baseline")
    assert row["objective"] == pytest.approx(own.mean(), abs=1e-6)
    assert row["objective_change"] == pytest.approx((own - before).mean(), abs=1e-6)


@pytest.mark.nightly
def test_the_first_rung_is_read_on_the_first_images_too(climbed: Path) -> None:
    row = row_of(climbed, "baseline", "100", "bn")
    assert (row["fits"], row["pairs"]) == (2, 2)
    assert (climbed / "baseline" / "planes").is_dir()
    assert not (climbed / "threshold" / "planes").exists()


@pytest.mark.nightly
def test_what_is_missing_is_shown_as_such(climbed: Path) -> None:
    row = row_of(climbed, "together", "all", "plain")
    assert row["fits"] == 0
    assert all(np.isnan(row[name]) for name in ("difference", "objective_change", "right"))
    assert (climbed / "ladder.svg").read_text().endswith("</svg>\n")
    found = [numbers(line) for line in (climbed / "ladder.md").read_text().splitlines()]
    assert ["34", "46"] in [line[:2] for line in found], "fits that are missing"


@pytest.mark.nightly
def test_distances_are_ours_less_the_authors_on_their_images_alone(script: ModuleType, climbed: Path) -> None:
    assert np.isnan(row_of(climbed, "baseline", "all", "bn")["authors"]), "digits are not their images"
    grid, ladder = Grid(("plain", "bn"), (0.5,), (101,)), script.rungs(PROFILES["compact"])
    found = script.ladder_table(script.ladder_fits(climbed / "nothing", ladder, grid), ladder, grid)
    theirs = authors_figure4()
    assert found.loc[found["pixels"] == "inside", "authors"].isna().all(), "theirs is over all trained pixels"
    for arm, values in found[found["pixels"] == "trained"].groupby("arm")["authors"]:
        assert (
            values.unique().tolist() == theirs.loc[(theirs["arm"] == arm) & (theirs["p"] == 0.5), "difference"].tolist()
        )
    assert found["distance"].isna().all()


def test_fits_are_drawn_at_their_changes_and_the_authors_at_their_distance_from_the_first_rung(
    script: ModuleType,
) -> None:
    ladder = script.rungs(PROFILES["compact"])
    rows = [
        ("baseline", "all", "trained", "plain", 101, 0.2, 0.0),
        ("baseline", 100, "trained", "plain", 101, 0.9, 0.7),  # measured again: not drawn
        ("baseline", "all", "trained", "bn", 101, 0.1, 0.0),
        ("baseline", "all", "inside", "bn", 101, 0.9, 0.0),
        ("threshold", "all", "trained", "plain", 101, 0.9, 0.8),  # not inside, and no frame: not drawn
        ("threshold", "all", "inside", "plain", 101, 0.3, 0.1),
        ("threshold", "all", "inside", "plain", 102, 0.5, 0.4),
        ("threshold", "all", "inside", "plain", 103, 0.5, np.nan),  # no fit to be compared with
        ("mask-kind", "all", "inside", "bn", 101, 0.3, 0.2),
        ("mask-kind", "all", "trained", "bn", 101, 0.3, 0.6),
    ]
    fits = pd.DataFrame(rows, columns=["rung", "images", "pixels", "arm", "seed", "difference", "difference_change"])
    for reading, factor in (("objective", -2), ("right", 3)):
        fits = fits.assign(**{f"{reading}{end}": factor * fits[f"difference{end}"] for end in ("", "_change")})
    figure = script.draw_ladder(fits, ladder, {"plain": 0.45, "bn": 0.4})
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [*(rung.changed for rung in ladder[1:-1]), names[-1]]
    colours = arm_colours(["plain", "bn"])
    for axes, factor in zip(figure.axes, (1, -2, 3), strict=True):
        drawn = {
            (to_hex(points.get_facecolor()[0]), names[round(y)], round(x / factor, 9))
            for points in axes.collections
            for x, y in points.get_offsets()
        }
        threshold, framed = ladder[1].changed, ladder[2].changed
        expected = {(colours["plain"], threshold, 0.1), (colours["plain"], threshold, 0.4)}
        assert drawn == expected | {(colours["bn"], framed, 0.2)}
        means = {
            (line.get_color(), line.get_markerfacecolor()): float(x / factor)
            for line in axes.lines
            if line.get_marker() not in ("", "None")
            for x in line.get_xdata()
        }
        inside = {(colours["plain"], colours["plain"]): 0.25, (colours["bn"], colours["bn"]): 0.2}
        assert means == pytest.approx(inside | {(colours["bn"], PAPER): 0.6}), "hollow: the frame's pixels, too"
    dashed = [line for line in figure.axes[0].lines if line.get_color() in colours.values() and line.is_dashed()]
    assert {line.get_color(): line.get_xdata()[0] for line in dashed} == {
        colours["plain"]: pytest.approx(0.25),
        colours["bn"]: pytest.approx(0.3),
    }


@pytest.mark.parametrize("missing", [False, True])
def test_what_changes_do_alone_adds_up_or_is_unknown(
    missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers_script = benchmark_script("ladder_numbers")
    changes = {"baseline": 0.0, "threshold": 0.1, "inputs": np.nan if missing else 0.02, "together": 0.5}
    rows = [
        {"rung": rung, "arm": "plain", "difference": level + change, "difference_change": change, "pairs": 3}
        | {"difference_change_sd": 0.01, "distance": change - 0.4, "images": images, "pixels": pixels}
        for images in ("1000", "100")
        for pixels, level in (("inside", 0.2), ("trained", 0.5))
        for rung, change in changes.items()
    ]
    rows = [{**row, **{f"right{end}": 0.0 for end in ("_change", "_change_sd")}} for row in rows]
    rows = [{**row, **{f"objective{end}": 0.0 for end in ("_change", "_change_sd")}} for row in rows]
    (tmp_path / "evidence" / "own").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(tmp_path / "evidence" / "own" / "ladder.csv")
    monkeypatch.setattr(numbers_script, "ROOT", tmp_path)
    said = numbers_script.LadderNumbers("own")
    assert said.alone("plain") == ("–" if missing else "+0.120")
    assert said.change("inputs", "plain") == ("–" if missing else "+0.020 ± 0.010")
    assert (said.level("threshold", "plain"), said.short_of("threshold", "plain")) == ("0.300", "0.300")
    assert numbers_script.LadderNumbers("own", "trained").level("threshold", "plain") == "0.600"
    assert said.told_apart("difference") == "1 of 2", "0.1 and 0.02, against 4.303 · 0.01 / √3"
    assert said.told_apart() == "1 of 6"


@pytest.mark.parametrize(("arm", "ahead"), [("plain", "1 of 3"), ("bn", "1 of 3")])
def test_an_arm_is_ahead_where_all_three_readings_say_so(
    arm: str, ahead: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = benchmark_script("ladder_numbers")
    readings = {101: (0.5, -1.0, 0.9), 102: (0.3, -2.0, 0.9), 103: (0.2, -0.5, 0.6)}  # against 0.4, −0.9 and 0.8
    rows = [
        {"rung": "inputs", "pixels": "inside", "images": 1000, "arm": arm, "seed": seed}
        | dict(zip(("difference", "objective", "right"), values if arm == "plain" else (0.4, -0.9, 0.8), strict=True))
        for seed, values in readings.items()
        for arm in ("plain", "bn")
    ]
    (tmp_path / "evidence" / "own").mkdir(parents=True)
    pd.DataFrame(rows).to_csv(tmp_path / "evidence" / "own" / "fits.csv")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    assert script.LadderNumbers("own").ahead("inputs", arm) == ahead


@pytest.mark.nightly
def test_the_same_command_computes_only_what_is_left(script: ModuleType, climbed: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in climbed.rglob("*.parquet")}
    assert script.main([*OPTIONS, "--out", str(climbed), "--rungs", "baseline"]) == 0
    assert {path: path.stat().st_mtime_ns for path in climbed.rglob("*.parquet")} == before


@pytest.mark.nightly
def test_a_plan_computes_and_writes_nothing(
    script: ModuleType, climbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert script.main([*OPTIONS, "--out", str(climbed), "--rungs", "baseline,bn-scale", "--plan"]) == 0
    first, second, total = capsys.readouterr().out.splitlines()
    assert {"4", "0"} <= {*numbers(first)}
    assert {"0", "2"} <= {*numbers(second)}
    assert total
    assert not layout.fit_paths(climbed / "bn-scale")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--rungs", "baseline,thresh"], ["--rungs baseline,thresh", "threshold"]),
        (["--p", "2"], ["--p 2"]),
        (["--steps", "0"], ["--steps 0"]),
        (["--steps", "4", "--table"], ["another steps"]),
        (["--steps", "4", "--plan"], ["another protocol", "4 here"]),
        (["--base", "compact-authors"], ["--base compact-authors", "compact"]),
    ],
)
def test_a_wrong_request_is_one_sentence(
    script: ModuleType, climbed: Path, options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        script.main([*OPTIONS, "--out", str(climbed), *options])
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words), said


@pytest.mark.nightly
def test_the_longer_ladder_says_what_its_pixels_say() -> None:
    longer = benchmark_script("ladder_numbers").LongerLadder("speed", "ladder-12000/together")
    pixels = read_sweep(Path(__file__).parents[2] / "evidence/ladder-12000/together").landscapes
    seeds = [int(seed) for seed in longer.seeds.split(" and ")]
    pixels = pixels[pixels["seed"].isin(seeds) & pixels["trained"]]
    inner = pixels[pixels["row"].between(2, 27) & pixels["column"].between(2, 27)]
    for of, name in ((pixels, "trained"), (inner, "inside")):
        means = of.groupby(["arm", "seed", "black"])["test_accuracy"].mean().groupby(["arm", "black"]).mean()
        for arm in ("plain", "bn"):
            said = longer.level("together", arm, "difference", name)
            assert float(said) == pytest.approx(means[arm, True] - means[arm, False], abs=6e-4)
            assert float(longer.level("together", arm, "black", name)) == pytest.approx(means[arm, True], abs=6e-4)
    for reading, sign in (("difference", 1), ("right", 1), ("objective", -1)):
        for name in ("trained", "inside"):
            plain, bn = (
                float(longer.level("together", arm, reading, name).replace("−", "-")) for arm in ("plain", "bn")
            )
            assert sign * (bn - plain) > 0, "the page says that bn is ahead by all three"
