"""How long the dashboard takes in Chromium: ``python -m scripts.time_dashboard FOLDER [ROUNDS]``.

FOLDER is one in which a run published. Each round starts a dashboard, looks at the first view, and then does each thing
a visitor may do, once. The medians are printed, and the load of the machine, which decides what they are worth.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median

from playwright.sync_api import Browser, Page

from scripts.browser import open_browser
from scripts.dashboard import open_dashboard, visit, wait_until_drawn

ROUNDS = 5
SQL = "select geo_region, count(*) as users, max(total_watch_time_min) from watch_time group by all"


def main(folder: Path, rounds: int) -> None:
    """Measure and print."""
    taken: dict[str, list[float]] = {}
    with open_browser() as browser:
        for _ in range(rounds):
            for name, seconds in measure(browser, folder).items():
                taken.setdefault(name, []).append(seconds)
    for name, several in taken.items():
        print(f"{name:40} median {median(several):5.2f} s of {', '.join(f'{one:.2f}' for one in several)}")
    print("load of the last 1, 5 and 15 minutes:", *(f"{load:.1f}" for load in os.getloadavg()))


def measure(browser: Browser, folder: Path) -> Mapping[str, float]:
    """Seconds of the first view and of each interaction, with a new server."""
    page = browser.new_page(viewport={"width": 1200, "height": 1400})
    begun = time.monotonic()
    with open_dashboard(folder) as address:
        found = {"first view, once the server answers": visit(page, address)}
        found["first view, from the command on"] = time.monotonic() - begun
        regions = _regions(page)
        for region in regions[1:4]:
            found[f"users of {region}"] = _timed(page, lambda region=region: _choose(page, region))
        found["users of all regions again"] = _timed(page, lambda: _choose(page, regions[0]))
        found["the tab of runs"] = _timed(page, page.get_by_role("tab", name="Runs and quality").click)
        page.get_by_role("tab", name="SQL").click()
        page.get_by_role("textbox").fill(SQL)
        found["a query of all rows"] = _timed(page, page.get_by_role("button", name="Ask").click)
        found["another visitor"] = visit(browser.new_page(), address)
    page.close()
    return found


def _timed(page: Page, act: Callable[[], None]) -> float:
    begun = time.monotonic()
    act()
    page.wait_for_timeout(100)  # until the browser has asked the server
    wait_until_drawn(page)
    return time.monotonic() - begun


def _regions(page: Page) -> list[str]:
    page.get_by_role("combobox").first.click()
    names = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    return names


def _choose(page: Page, region: str) -> None:
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name=region, exact=True).click()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS)
