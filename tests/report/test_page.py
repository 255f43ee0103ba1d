"""The page in a browser: nothing goes wrong, the explorer answers to hand and keyboard, phones need not scroll."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bnbench.report import build_report
from bnbench.report.page import explorer
from bnbench.report.page.explorer import explorer_data
from bnbench.results import sweeps
from bnbench.results.sweeps import Sweep
from tests.browser import Browser
from tests.synthetic import SMALL, write_sweep

pytestmark = pytest.mark.nightly

HOSTILE = "pkg.nets:make</script><script>document.title='taken'</script>"
PROTOCOL = SMALL.with_knobs(mask_size=(8, 11), steps=300)
FORMATS = ("html",)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Three arms, one of them hostile, three p, two seeds; one fit is missing."""
    root = tmp_path_factory.mktemp("page")
    arms = ["plain", "bn", HOSTILE]
    write_sweep(root / "results", arms=arms, probs=[0.2, 0.5, 0.8], skip=[("bn", 0.8, 2)], protocol=PROTOCOL)
    build_report(root / "results", root / "report", formats=FORMATS)
    return sweeps.read_sweep(root / "results")


@pytest.fixture
def page(chromium: Browser, sweep: Sweep) -> Iterator[Browser]:
    """The page, freshly opened; whatever a test does with it must not make it complain."""
    chromium.open(sweep.folder.parent / "report" / "index.html")
    yield chromium
    assert chromium.complaints == []
    assert chromium.run("document.title").startswith("bnbench")


@pytest.mark.parametrize(("width", "beside"), [(1400, True), (1000, True), (400, False)])
def test_both_readings_begin_beside_each_other_in_one_size(
    chromium: Browser, sweep: Sweep, width: int, beside: bool
) -> None:
    chromium.open(sweep.folder.parent / "report" / "index.html", width=width)
    boxes = chromium.run(
        "[...document.querySelectorAll('.readings figure')].map(one => {"
        "const box = one.querySelector('svg').getBoundingClientRect(); return [box.x, box.y, box.width, box.height]; })"
    )
    assert len(boxes) == 4
    for (x, y, *size), (other_x, other_y, *other_size) in zip(boxes[::2], boxes[1::2], strict=True):
        assert size == pytest.approx(other_size, abs=1)
        assert (other_y == pytest.approx(y, abs=1)) == beside
        assert (other_x > x + size[0]) == beside


def fit_of(sweep: Sweep, arm: str, p: float, seed: int, value: str) -> np.ndarray:
    """One measured value of a fit as a picture."""
    table = sweep.landscapes
    mine = table[(table["arm"] == arm) & (table["p"] == p) & (table["seed"] == seed)]
    return mine.pivot(index="row", columns="column", values=value).to_numpy()


def choose(page: Browser, name: str, place: int) -> None:
    """Set a slider or a list as a user's browser reports it."""
    page.run(
        f"(() => {{ const input = document.querySelector('[name={name}]');"
        f"if (input.options) input.selectedIndex = {place}; else input.value = {place};"
        "input.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def drawn(page: Browser, panel: int) -> np.ndarray:
    """The colours of a panel's pixels, shape (rows, columns, 3)."""
    script = (
        f"(() => {{ const canvas = document.querySelector('.landscapes figure:nth-of-type({panel}) canvas');"
        "const [w, h] = [canvas.width, canvas.height];"
        "return [h, w, ...canvas.getContext('2d').getImageData(0, 0, w, h).data]; })()"
    )
    rows, columns, *values = page.run(script)
    return np.array(values).reshape(rows, columns, 4)[..., :3]


def test_the_explorer_starts_with_figure_3(page: Browser, sweep: Sweep) -> None:
    captions = "[...document.querySelectorAll('.landscapes figcaption')].map(caption => caption.textContent)"
    assert page.run(captions) == ["mask", "plain", "bn", HOSTILE.partition(":")[2]]
    assert page.text(".explorer output") == "= 0.5"
    mask = drawn(page, 1)[..., 0] < 128
    np.testing.assert_array_equal(mask, fit_of(sweep, "plain", 0.5, 1, "black"))
    loss, colours = fit_of(sweep, "plain", 0.5, 1, "test_loss"), drawn(page, 2).sum(axis=-1)
    assert np.corrcoef(np.log(loss).ravel(), colours.ravel())[0, 1] > 0.9  # dark is low


def test_p_seed_and_arm_choose_what_is_drawn(page: Browser, sweep: Sweep) -> None:
    choose(page, "p", 2)
    assert page.text(".explorer output") == "= 0.8"
    np.testing.assert_array_equal(drawn(page, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.8, 1, "black"))
    choose(page, "seed", 1)
    np.testing.assert_array_equal(drawn(page, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.8, 2, "black"))
    assert page.text(".landscapes figure:nth-of-type(3) .nothing").endswith("p = 0.8, seed 2")
    choose(page, "arm", 1)
    assert page.run("document.querySelectorAll('.landscapes figure').length") == 2
    black = fit_of(sweep, "plain", 0.8, 2, "black")
    accuracy = fit_of(sweep, "plain", 0.8, 2, "test_accuracy")
    cells = page.run("[...document.querySelectorAll('.chosen td')].map(cell => cell.textContent)")
    assert cells[:3] == ["plain", str(black.sum()), str((~black).sum())]
    assert float(cells[3]) == pytest.approx(accuracy[black].mean(), abs=6e-4)
    assert float(cells[5]) == pytest.approx(accuracy[black].mean() - accuracy[~black].mean(), abs=6e-4)


def test_the_address_says_what_is_shown_and_shows_what_it_says(chromium: Browser, page: Browser, sweep: Sweep) -> None:
    choose(page, "p", 2)
    choose(page, "seed", 1)
    said = page.run("location.hash")
    assert "p=0.8" in said
    assert "seed=2" in said
    page.run("location.hash = '#p=0.2&seed=1&quantity=accuracy'")
    page.run("dispatchEvent(new Event('hashchange'))")
    assert page.text(".explorer output") == "= 0.2"
    assert page.run("document.querySelector('[data-name=quantity]:checked').value") == "accuracy"
    np.testing.assert_array_equal(drawn(page, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.2, 1, "black"))


def test_a_click_on_a_point_of_figure_4_opens_its_landscapes(page: Browser, sweep: Sweep) -> None:
    page.run(
        "(() => { const at = document.querySelector(\"[id*='-fit-difference-1-0.8-1']\").getBoundingClientRect();"
        "document.querySelector('.readings svg').dispatchEvent(new MouseEvent('click', {bubbles: true,"
        "clientX: at.x + at.width / 2, clientY: at.y + at.height / 2})); })()"
    )
    assert page.text(".explorer output") == "= 0.8"
    np.testing.assert_array_equal(drawn(page, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.8, 1, "black"))


def test_the_gap_of_two_arms_is_blue_where_the_first_is_larger(page: Browser, sweep: Sweep) -> None:
    choose(page, "arm", 4)
    assert page.text(".landscapes figure:nth-of-type(2) figcaption") == "plain − bn"
    gap = fit_of(sweep, "plain", 0.5, 1, "test_loss") - fit_of(sweep, "bn", 0.5, 1, "test_loss")
    colours = drawn(page, 2).astype(int)
    clear = np.abs(gap) > 0.2 * np.abs(gap).max()
    np.testing.assert_array_equal((colours[..., 2] > colours[..., 0])[clear], (gap > 0)[clear])


def test_the_slider_and_the_buttons_answer_to_keys(page: Browser) -> None:
    page.run("document.querySelector('[name=p]').focus()")
    page.press("ArrowLeft")
    assert page.text(".explorer output") == "= 0.2"
    page.run("document.querySelector('[data-name=quantity]').focus()")
    page.press("ArrowRight")
    assert "test accuracy" in page.text(".explorer > .note")
    assert page.run("document.querySelector('[data-name=scale]').closest('fieldset').disabled") is True


def test_hovering_a_pixel_says_everything_about_it(page: Browser, sweep: Sweep) -> None:
    page.point(".landscapes figure:nth-of-type(3) canvas", (4 + 0.5) / 11, (6 + 0.5) / 8)
    text = page.text(".pixel")
    black, trained = (fit_of(sweep, "bn", 0.5, 1, name)[6, 4] for name in ("black", "trained"))
    assert text.startswith(f"Row 6, column 4: {'black' if black else 'white'}, {'' if trained else 'not '}trained.")
    said = re.findall(r"loss ([\d.]+), accuracy ([\d.]+)", text)
    for (loss, accuracy), arm in zip(said, ["plain", "bn", HOSTILE], strict=True):
        assert float(loss) == pytest.approx(fit_of(sweep, arm, 0.5, 1, "test_loss")[6, 4], rel=1e-3, abs=6e-4)
        assert float(accuracy) == pytest.approx(fit_of(sweep, arm, 0.5, 1, "test_accuracy")[6, 4], abs=6e-4)
    assert page.run("document.querySelectorAll('.cursor:not([hidden])').length") == 4
    page.point("[data-name=split][value=train]", press=True)
    shown = re.search(r"loss ([\d.]+)", page.text(".pixel"))
    assert shown
    assert float(shown[1]) == pytest.approx(fit_of(sweep, "plain", 0.5, 1, "train_loss")[6, 4], rel=1e-3, abs=6e-4)


def test_arrow_keys_move_over_the_pixels(page: Browser) -> None:
    page.run("document.querySelector('.landscapes').focus()")
    page.press("ArrowRight")
    assert page.text(".pixel").startswith("Row 0, column 0:")
    page.press("ArrowDown", "ArrowRight", "ArrowRight")
    assert page.text(".pixel").startswith("Row 1, column 2:")
    page.press("End", "ArrowRight", "ArrowUp", "ArrowUp")
    assert page.text(".pixel").startswith("Row 0, column 10:")
    assert page.run("document.querySelector('.pixel').getAttribute('aria-live')") == "polite"
    page.press("Tab")
    assert page.run("document.activeElement.tagName") == "SUMMARY"


def test_log_and_linear_move_the_threshold_and_the_colours(page: Browser) -> None:
    left = "parseFloat(document.querySelector('.ticks .threshold').style.left)"
    log, before = page.run(left), drawn(page, 2)
    page.point("[data-name=scale][value=linear]", press=True)
    assert page.run("document.querySelector('[data-name=scale][value=linear]').checked") is True
    assert abs(page.run(left) - log) > 3
    assert (drawn(page, 2) != before).any()
    assert page.text(".ticks .threshold") == "threshold 2.5"
    page.point("[data-name=quantity][value=accuracy]", press=True)
    assert page.run("document.querySelector('.ticks .threshold')") is None


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_no_width_scrolls_sideways(chromium: Browser, sweep: Sweep, width: int, dark: bool) -> None:
    chromium.open(sweep.folder.parent / "report" / "index.html", width, dark=dark)
    assert chromium.complaints == []
    for panels in range(3):
        choose(chromium, "arm", panels)
        assert chromium.run("document.documentElement.scrollWidth") == width
    is_open = "svg.getClientRects().length && !svg.closest('details:not([open])')"
    figures = f"[...document.querySelectorAll('figure svg')].filter(svg => {is_open})"
    shown = chromium.run(f"{figures}.map(svg => svg.getBoundingClientRect().right)")
    # Figure 4 and the objective as two panels, figure 3, training and test, time, steps (2), statistics, pairs (2).
    assert len(shown) == 13
    assert max(shown) <= width
    moved = chromium.run(
        "[...document.querySelectorAll('details')].forEach(one => { one.open = true; }),"
        "[...document.querySelectorAll('.scroll')].filter(box => box.querySelector('td.named')).map(box => {"
        "box.scrollLeft = 1e5; return box.querySelector('td.named').getBoundingClientRect().left"
        " - box.getBoundingClientRect().left; })"
    )
    assert len(moved) > 5
    assert all(left >= 0 for left in moved), "what a row is about stays in sight"
    light = chromium.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light is not dark


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("scale", ["log", "linear"])
@pytest.mark.parametrize("threshold", [1e-3, 2.5, 1e4])
def test_the_threshold_stays_on_the_colour_bar(
    chromium: Browser, sweep: Sweep, tmp_path: Path, width: int, scale: str, threshold: float
) -> None:
    landscapes = sweep.landscapes.assign(test_loss=sweep.landscapes["test_loss"] * (1000 if threshold < 1 else 1))
    data = json.dumps(explorer_data(landscapes, threshold, "test")).replace("<", "\\u003c")
    text = (sweep.folder.parent / "report" / "index.html").read_text(encoding="utf-8")
    kept, _, rest = text.partition('-explorer-data">')
    (tmp_path / "index.html").write_text(f'{kept}-explorer-data">{data}{rest[rest.index("</script>") :]}')
    chromium.open(tmp_path / "index.html", width)
    chromium.point(f"[data-name=scale][value={scale}]", press=True)
    box = "(element => [element.getBoundingClientRect().left, element.getBoundingClientRect().right])"
    bar = chromium.run(f"{box}(document.querySelector('.bar canvas'))")
    label = chromium.run(f"{box}(document.querySelector('.ticks .threshold'))")
    assert bar[0] - 0.5 <= label[0] < label[1] <= bar[1] + 0.5
    above = "losses above" in chromium.text(".explorer > .note")
    assert above is (scale == "linear")


def test_a_long_name_moves_no_canvas(page: Browser) -> None:
    canvases = "[...document.querySelectorAll('.landscapes canvas')]"
    tops = page.run(f"{canvases}.map(canvas => canvas.getBoundingClientRect().top)")
    assert len(tops) == 4
    assert max(tops) - min(tops) < 0.5


def test_without_a_script_a_sentence_says_so(chromium: Browser, sweep: Sweep) -> None:
    seen = "[...document.querySelectorAll('noscript, .explorer')].map(part => part.getClientRects().length > 0)"
    try:
        chromium.order("Emulation.setScriptExecutionDisabled", value=True)
        chromium.open(sweep.folder.parent / "report" / "index.html")
        assert "needs JavaScript" in chromium.text("noscript")
        assert chromium.run(seen) == [True, False]
    finally:
        chromium.order("Emulation.setScriptExecutionDisabled", value=False)


def test_pixels_beside_the_page_come_when_they_are_asked_for(
    chromium: Browser, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explorer, "MOST_INLINE", 0)
    monkeypatch.setattr(explorer, "_MOST_IN_FILE", 0)
    build_report(sweep.folder, tmp_path, formats=FORMATS)
    chromium.open(tmp_path / "index.html")
    loaded = "[...document.querySelectorAll('head script')].map(one => one.getAttribute('src'))"
    assert len(chromium.run(loaded)) == 1, "what is shown first"
    np.testing.assert_array_equal(drawn(chromium, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.5, 1, "black"))
    choose(chromium, "p", 2)
    ready = "new Promise(done => setTimeout(() => done(document.querySelectorAll('.landscapes canvas').length), 300))"
    assert chromium.run(ready) == 4
    np.testing.assert_array_equal(drawn(chromium, 1)[..., 0] < 128, fit_of(sweep, "plain", 0.8, 1, "black"))
    assert len(chromium.run(loaded)) == 2
    assert chromium.complaints == []
    for path in (tmp_path / "landscapes").iterdir():
        path.unlink()
    choose(chromium, "seed", 1)
    chromium.run(ready)
    assert chromium.run(loaded)[-1] in chromium.text(".landscapes .nothing")


@pytest.mark.parametrize("width", [400, 1400])
def test_an_index_leads_to_each_page_and_no_width_scrolls_sideways(
    chromium: Browser, sweep: Sweep, tmp_path: Path, width: int
) -> None:
    for folder, steps in (("a", 250), ("b", 200)):
        write_sweep(tmp_path / "results" / folder, probs=[0.5], protocol=SMALL.with_knobs(steps=steps))
    build_report(tmp_path / "results", tmp_path / "report", formats=FORMATS)
    chromium.open(tmp_path / "report" / "index.html", width)
    assert chromium.run("document.documentElement.scrollWidth") == width
    pages = chromium.run("[...document.querySelectorAll('dl.answers a')].map(link => link.getAttribute('href'))")
    names = chromium.run("[...document.querySelectorAll('dl.answers a')].map(link => link.textContent)")
    assert ["steps 200" in names[0], "steps 250" in names[1]] == [True, True], "as the figure has them"
    for page in pages:
        chromium.open(tmp_path / "report" / page, width)
        assert chromium.run("document.querySelectorAll('.landscapes canvas').length") == 3
        assert chromium.complaints == []
