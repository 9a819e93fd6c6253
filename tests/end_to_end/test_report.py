"""The report of a real run, as Chromium shows it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.program import HEADER, environment, run_json
from tests.harness import run_here

EVIL = "<img src=x onerror=alert(1)>"
ROWS = [
    "id-1,u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,10\n",
    f"id-2,{EVIL},2026-01-01T00:00:00Z,v,tv,8.8.8.8,20\n",
    f"id-3,u1,2026-01-01T00:00:00Z,v,tv,8.8.8.8,{EVIL}\n",
    "id-4,someone,2026-01-01T00:00:00Z,v,tv,203.0.113.77\n",
]


@pytest.fixture(scope="module")
def folder(logs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two published runs: generated logs, then the same with a file of hostile name and a gate that warns."""
    folder = tmp_path_factory.mktemp("report")
    source = folder / "in"
    source.mkdir()
    for path in logs.glob("*.csv"):
        shutil.copy(path, source)
    run_here(folder, "in")
    (source / f"{EVIL.replace('/', '')}.csv").write_text(HEADER + "".join(ROWS))
    (source / "headless.csv").write_text("id-1,secret_user,2026-01-01,v,tv,203.0.113.77,1.5\n")
    (folder / "gates.toml").write_text("[quality_gates]\nrejected = { warn = 0.0000001 }\n")
    run_json("--input", "in", "--config", "gates.toml", cwd=folder, code=6)
    return folder


@pytest.fixture(scope="module")
def version(folder: Path) -> Path:
    return (folder / "pipeline_data" / "output").resolve().parent


@pytest.fixture
def show(browser: Browser, version: Path) -> Callable[..., tuple[Page, list[str]]]:
    """Opens the report; the list fills with messages on the console, errors and requests beyond the page itself."""

    def open_report(width: int = 1200, scheme: str = "light", **more: object) -> tuple[Page, list[str]]:
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        trouble: list[str] = []
        address = (version / "report.html").as_uri()
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: trouble.append(dialog.message))
        page.on("request", lambda request: trouble.append(request.url) if request.url != address else None)
        page.goto(address)
        return page, trouble

    return open_report


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_drawn_without_trouble(show, width: int, scheme: str) -> None:
    page, trouble = show(width, scheme)
    page.wait_for_selector("html[data-drawn='6']")
    assert page.locator(".chart svg").count() == 6
    assert page.evaluate("document.documentElement.scrollWidth") == width
    bright = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert bright == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 28)"}[scheme]
    for svg in page.locator(".chart").all():
        box = svg.bounding_box()
        assert box is not None
        assert box["width"] <= width
    assert trouble == []
    page.close()


def test_the_report_says_what_the_run_recorded(show, version: Path) -> None:
    page, trouble = show()
    record = json.loads((version / "run.json").read_text())
    text = page.inner_text("main")
    for count in ("records_read", "kept", "duplicates_phase1", "duplicates_phase2", "conflicts", "rejected"):
        assert f"{record[count]:,}" in text, count
    assert record["conflicts"] > 0
    for region in record["regions"]:
        assert f"{region['region']}\t{region['users']:,}\t{region['events']:,}\t{region['minutes']:,.0f}" in text
    assert "done, but not with every file" in text
    assert "headless.csv" in text
    assert "warn\trejected\t2\t" in text
    assert text.count("(this run)") == 1
    assert page.locator("footer a").first.get_attribute("href") == "https://db-ip.com"
    (stages,) = page.evaluate("[JSON.parse(document.getElementById('data').textContent).timeline.stages]")
    assert {"read", "find changed ids", "apply changes", "write result"} <= set(stages)
    assert trouble == []
    page.close()


def test_hostile_names_and_values_are_text_and_nobody_is_named(show, version: Path) -> None:
    page, trouble = show()
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    text = page.inner_text("main")
    assert "<img src=x onerror=alert(1)>.csv:4 watch_time(min) <xxx xxx=x xxxxxxx=xxxxx(9)>" in text
    assert "xx-9,xxxxxxx,9999-99-99x99:99:99x,x,xx,999.9.999.99" in text
    assert page.locator("main img").count() == 0
    whole = (version / "report.html").read_text()
    assert "someone" not in whole
    assert "secret_user" not in whole
    assert "203.0.113.77" not in whole
    assert trouble == []
    page.close()


def test_the_report_is_small_and_prints_light(show, version: Path, tmp_path: Path) -> None:
    assert (version / "report.html").stat().st_size < 2_000_000
    page, trouble = show(scheme="dark")
    page.wait_for_selector("html[data-drawn]")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".chart svg").first.get_attribute("width") == "680"
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    assert page.pdf(path=tmp_path / "report.pdf", format="A4").startswith(b"%PDF")
    assert trouble == []
    page.close()


def test_the_tables_stand_without_scripts(browser: Browser, version: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((version / "report.html").as_uri())
    assert "Records read = kept + duplicates + conflicts + rejected" in page.inner_text("main")
    assert "North America" in page.inner_text("main")
    context.close()


def test_a_stopped_run_has_a_report_and_publishes_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "".join(ROWS))
    (tmp_path / "gates.toml").write_text("[quality_gates]\nrejected = { fail = 0.1 }\n")
    answer = run_json("--input", "a.csv", "--config", "gates.toml", cwd=tmp_path, code=4)
    (report,) = tmp_path.rglob("report.html")
    assert report.is_relative_to(tmp_path / "pipeline_data" / "intermediate")
    assert answer["error"][:30] in report.read_text()


def test_a_damaged_earlier_record_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "".join(ROWS[:2]))
    run_json("--input", "a.csv", cwd=tmp_path)
    earlier = (tmp_path / "pipeline_data" / "output").resolve().parent
    (earlier / "run.json").write_text("{")
    run_json("--input", "a.csv", cwd=tmp_path, env=environment(KEEP_VERSIONS=5))
    report = (tmp_path / "pipeline_data" / "output").resolve().parent / "report.html"
    assert "They cannot be compared: cannot read" in report.read_text()
