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
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError

from tests.end_to_end.program import HEADER, environment, published, run, start, wait_for
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
    rejected = "id-bad,someone,2026-01-01T00:00:00Z,v,tv,8.8.8.8,NaN\n"
    (folder / "in" / "evil.csv").write_text(HEADER + row + rejected)
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


def choose(box: Locator, option: str) -> None:
    """Choose from a list, which a page that is still being drawn closes again."""
    found = box.page.get_by_role("option", name=option, exact=True)

    def chosen() -> bool:
        box.press("Escape")
        box.click()
        with suppress(TimeoutError):
            found.click(timeout=patient(3_000))
            return True
        return False

    wait_for(chosen, 60)


def download(page: Page, name: str) -> list[list[str]]:
    with page.expect_download() as started:
        page.locator(f".st-key-{name}-csv button").click()
    return list(csv.reader(io.StringIO(started.value.path().read_text(encoding="utf-8"))))


def test_totals_regions_and_top_users_are_those_of_the_result(page: Page, folder: Path) -> None:
    rows = published(folder)
    minutes = sum(row[2] for row in rows)
    page.get_by_text(f"{minutes:,.0f}").first.wait_for()  # a busy machine draws the page piece by piece
    page.get_by_text(f"{len({row[1] for row in rows}):,}").first.wait_for()
    assert page.locator("a[href='https://db-ip.com']").count() == 1
    version = (folder / "pipeline_data" / "output").resolve().parent.name
    moment = datetime.strptime(version[:15], "%Y%m%dT%H%M%S")
    shown = page.inner_text("[data-testid=stMain]")
    assert re.search(rf"Result of {moment.day} {moment:%B %Y, %H:%M} UTC \(.*(ago|now)\), version {version}", shown)
    assert "Some files of this run were refused" in shown
    by_region = {region: sum(row[2] for row in rows if row[0] == region) for region in {row[0] for row in rows}}
    found = {row[0]: float(row[3]) for row in download(page, "regions")[1:]}
    assert found == pytest.approx(by_region)
    first, *others = download(page, "top-users")[1:]
    assert first[0] == EVIL
    assert [float(row[1]) for row in others] == sorted((float(row[1]) for row in others), reverse=True)
    assert len(others) == 19


def test_users_of_one_region(page: Page, folder: Path) -> None:
    choose(page.get_by_role("combobox").first, "Asia")
    expected = sorted((row for row in published(folder) if row[0] == "Asia"), key=lambda row: (-row[2], row[1]))[:20]
    users = [(row[1], row[2]) for row in expected]
    wait_for(lambda: [(row[0], float(row[1])) for row in download(page, "top-users")[1:]] == users)


def alerts(page: Page) -> list[str]:
    return [text for text in page.get_by_role("tabpanel").get_by_role("alert").all_inner_texts() if text]


def ask(page: Page, sql: str) -> None:
    """Fill the box and ask; what appears is waited for by the caller, for the server may be slow."""
    page.get_by_role("tab", name="SQL").click()
    page.get_by_role("textbox", name="One query in SQL").fill(sql)
    page.get_by_role("button", name="Ask").click()


def test_sql_within_the_limits_of_query(page: Page) -> None:
    ask(page, "select user_id, event_count from watch_time order by all")
    page.get_by_text("50 rows shown and exported").wait_for(timeout=patient(30_000))
    assert len(download(page, "query")) == 51
    ask(page, "copy runs to 'x.csv'")
    found = "expected a query (SELECT, FROM, DESCRIBE, ...), found COPY: nothing can be changed."
    wait_for(lambda: alerts(page) == [found], 30)
    ask(page, f'select "{EVIL}" from runs')
    wait_for(lambda: any(EVIL in alert for alert in alerts(page)), 30)
    assert page.locator("[data-testid=stMain] img").count() == 0
    ask(page, "select '=1+1' as formula, 7 as formula, 12345678901234567890123::hugeint as wide")
    wait_for(lambda: alerts(page) == [], 30)
    assert download(page, "query")[1] == ["'=1+1", "7", "12345678901234567890123"]


def test_examples_and_columns_stand_beside_the_box(page: Page) -> None:
    page.get_by_role("tab", name="SQL").click()
    box = page.get_by_role("textbox", name="One query in SQL")
    choose(page.get_by_role("combobox", name="Examples"), "Files with most rejected records")
    wait_for(lambda: "FROM ledger" in box.input_value(), 30)
    page.get_by_role("button", name="Ask").click()
    page.locator(".st-key-query-csv button").wait_for(timeout=patient(30_000))
    assert download(page, "query")[0] == ["file", "records", "rejected", "percent"]
    page.get_by_text("quarantine", exact=True).click()
    page.get_by_text("byte_offset  bigint").wait_for(timeout=patient(30_000))


def test_several_runs_have_charts(page: Page) -> None:
    page.get_by_role("tab", name="Runs and quality").click()
    runs = download(page, "runs")
    assert len(runs) == 3
    assert runs[0][:3] == ["version", "started", "status"]
    charts = page.get_by_role("tabpanel").filter(has_text="Speed").locator("[data-testid=stVegaLiteChart]")
    wait_for(lambda: charts.count() == 2, 30)


def test_files_and_rejects_have_their_reasons(page: Page, folder: Path) -> None:
    page.get_by_role("tab", name="Files and rejected records").click()
    record = json.loads(((folder / "pipeline_data" / "output").resolve().parent / "run.json").read_text())
    titles, *rejected = download(page, "rejected")
    assert titles == ["reason", "records", "meaning"]
    expected = record["rejected_by_reason"] | ({"conflict": record["conflicts"]} if record["conflicts"] else {})
    assert {row[0]: int(row[1]) for row in rejected} == expected, "files refused whole are no records"
    assert all(row[2] for row in rejected)
    (refused,) = record["refused_files"]
    (alert,) = alerts(page)
    assert alert.startswith(f"{refused['file']}: {refused['reason'][:40]}")
    _, *files = download(page, "files")
    assert {(row[0], int(row[4])) for row in files} == {(e["file"], e["rejected"]) for e in record["ledger"]}
    most = max(record["ledger"], key=lambda entry: entry["rejected"])
    reasons = {f"{reason}: {count}" for reason, count in most["rejected_by_reason"].items()}
    assert set(files[0][5].split(", ")) == reasons
    assert "watch_time_not_a_number: 1" in {row[5] for row in files}
    titles, *records = download(page, "rejected-records")
    assert titles == ["file", "line", "reason", "column", "value"]
    assert len(records) == min(50, record["rejected"])


def test_the_report_of_the_run_is_linked(page: Page, folder: Path) -> None:
    link = page.get_by_role("link", name="Report of this run").get_attribute("href")
    host = "/".join(page.url.split("/")[:3])
    with urllib.request.urlopen(f"{host}{link}", timeout=patient(30)) as answer:
        assert answer.headers["Content-Type"].startswith("text/html")
        assert "attachment" not in (answer.headers["Content-Disposition"] or "")
        report = (folder / "pipeline_data" / "output").resolve().parent / "report.html"
        assert answer.read() == report.read_bytes()


def test_a_newer_version_is_offered(browser: Browser, tmp_path: Path) -> None:
    """On every address, opened in a browser, over a single run; then a second run publishes."""
    (tmp_path / "a.csv").write_text(HEADER + "id-1,u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,10\n")
    run_here(tmp_path, "a.csv")
    opened = tmp_path / "opened"
    (tmp_path / "browser").write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.part && mv {opened}.part {opened}\n')
    (tmp_path / "browser").chmod(0o755)
    env = environment() | {"BROWSER": str(tmp_path / "browser"), "TMPDIR": str(tmp_path)}
    program = start("dashboard", "--port", 0, "--host", "0.0.0.0", "--open", cwd=tmp_path, env=env)
    try:
        assert program.stdout is not None
        address, warning = program.stdout.readline().split()[4], program.stdout.readline()
        assert "nothing is encrypted" in warning
        wait_for(opened.exists, seconds=90)
        file = Path(opened.read_text().removeprefix("file://"))
        assert address.split("/")[3] not in opened.read_text(), "all users can read arguments"
        assert file.parent.stat().st_mode & 0o077 == 0
        assert f"url={address}" in file.read_text()
        elsewhere = address.replace("127.0.0.1", "127.0.0.2")
        wait_for(lambda: status(elsewhere) == 200, seconds=90)
        assert status("/".join(elsewhere.split("/")[:3]) + "/") == 404
        page = browser.new_page()
        page.goto(elsewhere)
        page.get_by_role("tab", name="Runs and quality").click(timeout=patient(60_000))
        page.get_by_text("One run is kept so far.").wait_for(timeout=patient(60_000))
        wait_for_script(page)
        runs = page.get_by_role("tabpanel").filter(has_text="One run is kept")
        assert runs.locator("[data-testid=stVegaLiteChart]").count() == 0
        (tmp_path / "a.csv").write_text(HEADER + "id-2,u2,2026-01-01T00:00:00Z,v,tv,8.8.8.8,77\n")
        run_here(tmp_path, "a.csv")
        page.get_by_role("button", name="Show it").click(timeout=patient(60_000))
        page.get_by_test_id("stMetricValue").filter(has_text="77").wait_for(timeout=patient(60_000))
        page.close()
    finally:
        program.send_signal(signal.SIGTERM)
        program.communicate(timeout=patient(60))
    assert not file.exists()


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
