"""Write docs/images/*.png from generated data: ``python -m scripts.take_screenshots [terminal] [report] [dashboard]``.

Without a name all are written. Beside each picture lies the text that it shows, without its numbers: a test notices
when the program shows another one. It needs Chromium.
"""

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page
from rich.ansi import AnsiDecoder
from rich.console import Console

from scripts.browser import open_browser
from scripts.dashboard import LOGMILL, open_dashboard, visit

IMAGES = LOGMILL.parent / "docs" / "images"
NAMES = "terminal", "report", "dashboard"
_PATIENCE_MS = 180_000
WIDTH = 100
"""Characters of the terminal's lines."""
SIZE = "--files", "6", "--size", "24MB", "--users", "20000"
_NUMBERS = (
    (r"\d{8}T\d{6}Z-[0-9a-f]{6}", "VERSION"),
    (r"\b\d{1,2} [A-Z][a-z]+ \d{4}\b|\d{4}-\d\d-\d\d", "DAY"),
    (r"\d[\d,.:]*", "0"),
    (r"\b0 (?:min|h) 0 (?:s|min)\b|\b0 (?:ms|min)\b", "0 s"),
    (r"\b0 [kMGT]?B\b", "0 B"),
    (r"\b(just now|0 (?:second|minute|hour)s? ago)\b", "AGO"),
    (r"[ \t\u2500\u2588]+", " "),
)
"""What differs from run to run, and what stands for it in the text of a picture."""
_NOT_ALWAYS = re.compile(r"(predicted|preparing)\b|[0\W]*$")
"""Lines of the summary that only slow machines show, and lines without a word."""


def main(names: Sequence[str], images: Path = IMAGES) -> None:
    """Generate logs, run twice, and take the pictures ``names`` into the folder ``images``."""
    with tempfile.TemporaryDirectory() as folder, open_browser() as browser:
        place = Path(folder)
        (place / "logmill").symlink_to(LOGMILL)
        _call(place, "generate", "--output", "logs", *SIZE)
        _call(place, "--input", "logs", "--engine", "polars")
        shown = _call(place, "--input", "logs", "--engine", "polars", "--full-refresh")
        if "terminal" in names:
            _take_terminal(browser, shown, place, images)
        if "report" in names:
            _take_report(browser, (place / "pipeline_data" / "output").resolve().parent / "report.html", images)
        if "dashboard" in names:
            _take_dashboard(browser, place, images)


def without_numbers(text: str) -> str:
    """The words of a picture: what may differ from run to run is replaced."""
    for pattern, shown in _NUMBERS:
        text = re.sub(pattern, shown, text)
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if not _NOT_ALWAYS.match(line))


def _call(place: Path, *arguments: str) -> str:
    environment = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "PATH": "/usr/bin:/bin", "HOME": str(Path.home())}
    ended = subprocess.run(["./logmill", *arguments], cwd=place, env=environment, check=True, stdout=subprocess.PIPE)
    return ended.stdout.decode()


def _take_terminal(browser: Browser, shown: str, place: Path, images: Path) -> None:
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(*AnsiDecoder().decode(shown.strip("\n")), sep="\n", soft_wrap=True)
    _write(images, "terminal", console.export_text(clear=False))
    (place / "terminal.html").write_text(console.export_html(inline_styles=True), encoding="utf-8")
    page = browser.new_page(viewport={"width": 860, "height": 100})
    page.goto((place / "terminal.html").as_uri())
    page.screenshot(path=images / "terminal.png", full_page=True)


def _take_report(browser: Browser, report: Path, images: Path) -> None:
    for name, width, scheme in (
        ("report", 1200, "light"),
        ("report-dark", 1200, "dark"),
        ("report-narrow", 400, "dark"),
    ):
        page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
        page.goto(report.as_uri())
        page.wait_for_selector("html[data-drawn]")
        clip = {"x": 0, "y": 0, "width": width, "height": 1240}
        page.screenshot(path=images / f"{name}.png", clip=clip, full_page=True)
        if name == "report":
            _write(images, name, _words(page, "body"))


def _take_dashboard(browser: Browser, place: Path, images: Path) -> None:
    with open_dashboard(place) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1400})
        page.set_default_timeout(_PATIENCE_MS)
        visit(page, address)
        page.wait_for_timeout(2000)  # charts grow
        page.screenshot(path=images / "dashboard.png")
        _write(images, "dashboard", _words(page, '[data-testid="stMain"]'))


def _words(page: Page, place: str) -> str:
    """The text of the page outside its charts: which labels a chart has room for differs from run to run."""
    page.evaluate("document.querySelectorAll('svg').forEach(chart => chart.remove())")
    return page.locator(place).inner_text()


def _write(images: Path, name: str, text: str) -> None:
    (images / f"{name}.txt").write_text(without_numbers(text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
