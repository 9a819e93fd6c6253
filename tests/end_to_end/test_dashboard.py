"""The dashboard as Chromium shows it, over a real run."""

import csv
import io
import json
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.program import HEADER, published, run, start, wait_for
from tests.harness import run_here
from tests.pace import patient

EVIL = "![x](http://192.0.2.1/x.png)<img src=http://192.0.2.1/y.png>"


@pytest.fixture(scope="module")
def folder(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two published runs; the user who watched most has a hostile name."""
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "in").mkdir()
    for path in logs.glob("*.csv"):
        shutil.copy(path, folder / "in")
    run_here(folder, "in")
    row = f"id-evil,{EVIL},2026-01-01T00:00:00Z,v,tv,8.8.8.8,999999999\n"
    (folder / "in" / "evil.csv").write_text(HEADER + row)
    (folder / "in" / "refused.csv").write_text("no header\n")
    assert run_here(folder, "in").status == "partial"
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The address of a dashboard, which ends with the tests and leaves no process."""
    program = start("dashboard", "--port", 0, "--limit-rows", 50, cwd=folder)
    assert program.stdout is not None
    line = program.stdout.readline()
    (address,) = re.findall(r"http://127\.0\.0\.1:\d+/[\w-]+/", line) or [f"no address in {line!r}"]
    wait_for(lambda: status(address) == 200, seconds=90)
    yield address
    program.send_signal(signal.SIGTERM)
    _, errors = program.communicate(timeout=patient(60))
    assert errors == ""
    assert status(address) is None


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The complete page. Afterwards, checks that it had no errors and sent no request to another host."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000}, accept_downloads=True)
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    host = address.split("/")[2]
    page.on("request", lambda request: trouble.append(request.url) if foreign(request.url, host) else None)
    page.goto(address)
    page.get_by_text("Users by watch time").wait_for(timeout=patient(60_000))
    wait_for_script(page)
    yield page
    page.close()
    assert trouble == []


def foreign(url: str, host: str) -> bool:
    return not url.startswith((f"http://{host}/", f"ws://{host}/", "data:", "blob:"))


def wait_for_script(page: Page) -> None:
    """Wait until the page's script has run."""
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=patient(60_000))


def status(address: str) -> int | None:
    try:
        with urllib.request.urlopen(address, timeout=patient(5)) as answer:
            return answer.status
    except urllib.error.HTTPError as fault:
        with fault:
            return fault.code
    except OSError:
        return None


def download(page: Page, name: str) -> list[list[str]]:
    with page.expect_download() as started:
        page.locator(f".st-key-{name}-csv button").click()
    return list(csv.reader(io.StringIO(started.value.path().read_text(encoding="utf-8"))))


def test_totals_regions_and_top_users_are_those_of_the_result(page: Page, folder: Path) -> None:
    rows = published(folder)
    minutes = sum(row[2] for row in rows)
    assert f"{minutes:,.0f}" in page.inner_text("[data-testid=stMain]")
    assert f"{len({row[1] for row in rows}):,}" in page.inner_text("[data-testid=stMain]")
    assert page.locator("a[href='https://db-ip.com']").count() == 1
    by_region = {region: sum(row[2] for row in rows if row[0] == region) for region in {row[0] for row in rows}}
    found = {row[0]: float(row[3]) for row in download(page, "regions")[1:]}
    assert found == pytest.approx(by_region)
    first, *others = download(page, "top-users")[1:]
    assert first[0] == EVIL
    assert [float(row[1]) for row in others] == sorted((float(row[1]) for row in others), reverse=True)
    assert len(others) == 19


def test_users_of_one_region(page: Page, folder: Path) -> None:
    page.get_by_role("combobox").first.click()
    page.get_by_role("option", name="Asia", exact=True).click()
    page.wait_for_timeout(500)
    wait_for_script(page)
    expected = sorted((row for row in published(folder) if row[0] == "Asia"), key=lambda row: (-row[2], row[1]))[:20]
    assert [(row[0], float(row[1])) for row in download(page, "top-users")[1:]] == [(r[1], r[2]) for r in expected]


def test_sql_within_the_limits_of_query(page: Page) -> None:
    def ask(sql: str) -> str:
        page.get_by_role("tab", name="SQL").click()
        page.get_by_role("textbox").fill(sql)
        page.get_by_role("button", name="Ask").click()
        page.wait_for_timeout(500)
        wait_for_script(page)
        return page.inner_text("[data-testid=stMain]")

    assert "Only the first 50 rows are shown" in ask("select user_id, event_count from watch_time order by all")
    assert len(download(page, "query")) == 51
    assert "found COPY" in ask("copy runs to 'x.csv'")
    assert "error: " in ask(f"select '{EVIL}'::int")
    assert page.locator("[data-testid=stMain] img").count() == 0
    ask("select '=1+1' as formula, 7 as formula, 12345678901234567890123::hugeint as wide")
    assert download(page, "query")[1] == ["'=1+1", "7", "12345678901234567890123"]


def test_runs_and_rejects(page: Page, folder: Path) -> None:
    page.get_by_role("tab", name="Runs and quality").click()
    runs = download(page, "runs")
    assert len(runs) == 3
    assert runs[0][:3] == ["version", "started", "status"]
    titles, *rejected = download(page, "rejected")
    assert titles == ["reason", "records"]
    record = json.loads(((folder / "pipeline_data" / "output").resolve().parent / "run.json").read_text())
    expected = record["rejected_by_reason"] | ({"conflict": record["conflicts"]} if record["conflicts"] else {})
    assert {reason: int(count) for reason, count in rejected} == expected, "files refused whole are no records"
    assert record["refused_files"]


def test_only_the_secret_address_answers(address: str) -> None:
    root = "/".join(address.split("/")[:3])
    assert status(f"{root}/") == 404
    assert status(f"{root}/_stcore/health") == 404
    assert status(f"{root}/guess/_stcore/host-config") == 404


def test_what_is_missing_is_said(tmp_path: Path, folder: Path, address: str) -> None:
    ended = run("dashboard", cwd=tmp_path)
    assert (ended.code, ended.out) == (3, "")
    assert "nothing is published" in ended.err
    ended = run("dashboard", "--port", address.split(":")[2].split("/")[0], cwd=folder)
    assert ended.code == 5
    assert "--port" in ended.err
    assert run("dashboard", "--port", 70_000, cwd=folder).code == 2


def test_no_process_tells_the_secret(address: str) -> None:
    commands = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True).stdout
    assert "cli.web.serve" in commands
    assert address.split("/")[3] not in commands
