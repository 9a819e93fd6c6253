"""The dashboard as a process, for screenshots and measurements."""

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Error, Page

LOGMILL = Path(__file__).resolve().parent.parent / "logmill"
_REFUSED_MS = 20


@contextmanager
def open_dashboard(folder: Path) -> Iterator[str]:
    """The address of a dashboard over what a run in ``folder`` published; it ends with the block."""
    program = subprocess.Popen([LOGMILL, "dashboard", "--port", "0"], cwd=folder, stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        line = program.stdout.readline()
        (address,) = re.findall(r"http://\S+", line) or [f"no address in {line!r}"]
        yield address
    finally:
        program.terminate()
        program.wait()
        program.stdout.close()


_NOT_YET = ("ERR_CONNECTION_REFUSED", "interrupted by another navigation")


def visit(page: Page, address: str) -> float:
    """Open the page as soon as the server answers, and wait until all is shown; returns seconds since it answered."""
    while True:
        begun = time.monotonic()
        try:
            page.goto(address)
            break
        except Error as fault:
            # The browser's own page about a refused connection may come late, and end the next try.
            if not any(cause in str(fault) for cause in _NOT_YET):
                raise
            page.wait_for_timeout(_REFUSED_MS)
    page.get_by_text("Users by watch time").wait_for()
    wait_until_drawn(page)
    return time.monotonic() - begun


def wait_until_drawn(page: Page) -> None:
    """Wait until the page's script has run and no part of the page is stale."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_function("document.querySelectorAll('[data-stale=true]').length === 0")
