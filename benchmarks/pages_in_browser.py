"""How large are a report's pages, and how soon does headless Chromium show them?

Each page is opened anew several times, from disk; the first time counts as well. Times are the browser's own, in
milliseconds since the navigation began: its first contentful paint, and the end of its load event. The target: every
page loads in under 2 s and has at most 5 MB.

    bnbench report results/ --out mine/report && python benchmarks/pages_in_browser.py mine/report
    python benchmarks/pages_in_browser.py mine/report --times 5 --pictures mine/seen   screenshots at three widths too
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.browser import MISSING, Browser, find_chromium

LONGEST, LARGEST = 2_000.0, 5_000_000  # milliseconds and bytes
WIDTHS = (400, 1000, 1400)
_TIMES = """(async () => {
  const loaded = () => performance.getEntriesByType('navigation')[0].loadEventEnd;
  const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;
  while (!loaded() || !painted()) await new Promise((done) => setTimeout(done, 20));
  return [painted(), loaded()];
})()"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="a folder that bnbench report wrote")
    parser.add_argument("--times", type=int, default=3, help="how often each page is opened")
    parser.add_argument("--pictures", type=Path, help="folder for a picture of each page at each width, light and dark")
    options = parser.parse_args()
    chromium = find_chromium()
    if chromium is None:
        sys.exit(MISSING)
    pages = sorted(options.report.rglob("*.html"))
    if not pages:
        sys.exit(f"{options.report} holds no page; give a folder that bnbench report wrote.")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="bnbench-") as profile:
        browser = Browser(chromium, Path(profile))
        try:
            missed = [page for page in pages if not timed(browser, page, options)]
        finally:
            browser.close()
    sys.exit(f"missed: {', '.join(map(str, missed))}" if missed else 0)


def timed(browser: Browser, page: Path, options: argparse.Namespace) -> bool:
    """Print one page's size and times, and return whether it keeps to both targets."""
    size, found = page.stat().st_size, [opened(browser, page) for _ in range(options.times)]
    painted, loaded = (median(values) for values in zip(*found, strict=True))
    worst = max(load for _, load in found)
    name = page.relative_to(options.report)
    print(f"{name}: {size / 1e6:.2f} MB; first paint {painted:.0f} ms, load {loaded:.0f} ms, slowest {worst:.0f} ms")
    if options.pictures:
        take_pictures(browser, page, options.pictures / str(name).replace("/", "-").removesuffix(".html"))
    return worst < LONGEST and size <= LARGEST


def opened(browser: Browser, page: Path) -> tuple[float, float]:
    """Open a page and return when it was first painted and when it was loaded, in milliseconds."""
    browser.open(page)
    painted, loaded = browser.run(_TIMES)
    return float(painted), float(loaded)


def take_pictures(browser: Browser, page: Path, start: Path) -> None:
    """Write a picture of the whole page at each width, light and dark."""
    start.parent.mkdir(parents=True, exist_ok=True)
    for width in WIDTHS:
        for dark in (False, True):
            browser.open(page, width, 1000, dark=dark)
            browser.screenshot(Path(f"{start}-{width}-{'dark' if dark else 'light'}.png"), whole=True)


if __name__ == "__main__":
    main()
