"""Write docs/images/*.png from generated data: ``python -m scripts.take_screenshots [terminal] [report] [dashboard]``.

Without a name all are written. It needs Chromium.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser
from rich.ansi import AnsiDecoder
from rich.console import Console

from scripts.browser import open_browser
from scripts.dashboard import MAIN, open_dashboard, visit

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"


def main(names: list[str]) -> None:
    """Generate logs, run twice, and take the pictures."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        place = Path(folder)
        size = ("--files", "6", "--size", "120MB", "--users", "50000")
        _call(place, "generate", "--output", "logs", *size)
        _call(place, "--input", "logs", "--engine", "polars")
        shown = _call(place, "--input", "logs", "--engine", "polars", "--full-refresh")
        if "terminal" in names:
            _take_terminal(browser, shown, place)
        if "report" in names:
            _take_report(browser, (place / "pipeline_data" / "output").resolve().parent / "report.html")
        if "dashboard" in names:
            _take_dashboard(browser, place)


def _call(place: Path, *arguments: str) -> str:
    environment = {"FORCE_COLOR": "1", "COLUMNS": "100", "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    ended = subprocess.run([*MAIN, *arguments], cwd=place, env=environment, check=True, stdout=subprocess.PIPE)
    return ended.stdout.decode()


def _take_terminal(browser: Browser, shown: str, place: Path) -> None:
    console = Console(record=True, width=100, file=(place / "terminal.txt").open("w"))
    console.print(*AnsiDecoder().decode(shown.strip("\n")), sep="\n", soft_wrap=True)
    (place / "terminal.html").write_text(console.export_html(inline_styles=True), encoding="utf-8")
    page = browser.new_page(viewport={"width": 860, "height": 100})
    page.goto((place / "terminal.html").as_uri())
    page.screenshot(path=IMAGES / "terminal.png", full_page=True)


def _take_report(browser: Browser, report: Path) -> None:
    for name, width, scheme in (
        ("report", 1200, "light"),
        ("report-dark", 1200, "dark"),
        ("report-narrow", 400, "dark"),
    ):
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]")
        page.screenshot(
            path=IMAGES / f"{name}.png", clip={"x": 0, "y": 0, "width": width, "height": 1240}, full_page=True
        )


def _take_dashboard(browser: Browser, place: Path) -> None:
    with open_dashboard(place) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        visit(page, address)
        page.wait_for_timeout(2000)  # charts grow
        page.screenshot(path=IMAGES / "dashboard.png")


if __name__ == "__main__":
    main(sys.argv[1:] or ["terminal", "report", "dashboard"])
