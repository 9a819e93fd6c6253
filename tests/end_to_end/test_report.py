"""The report of a real run, as Chromium shows it."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import datetime
from html.parser import HTMLParser
from itertools import combinations
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.end_to_end.command import command_json
from tests.end_to_end.program import HEADER, environment
from tests.harness import run_here
from tests.pipeline.publish.report.records import make_record
from tests.pipeline.publish.report.records import page as drawn_by_hand

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
    command_json("--input", "in", "--config", "gates.toml", cwd=folder, code=6)
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
    page.wait_for_selector("html[data-drawn='3']")
    assert page.locator(".chart svg").count() == 3
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
    assert record["conflicts"] > 0
    for count in ("records_read", "kept", "duplicates", "duplicates_phase1", "duplicates_phase2", "users"):
        assert record[count] > 1000 or count == "duplicates_phase2"
        assert len(re.findall(rf"(?<![\d,.]){record[count]:,}(?![\d,.]*\d)", text)) == 1, f"{count} is there once"
    for region in record["regions"]:
        row = f"{region['region']}\t{region['users']:,}\t{region['events']:,}\t{region['minutes']:,.0f}\t"
        assert text.count(row) == 1
    moment = datetime.strptime(record["run_id"][:15], "%Y%m%dT%H%M%S")
    for fact in (f"{moment:%B %Y, %H:%M} UTC", f"in ({record['files']} files,", record["version"], record["output"]):
        assert fact in page.inner_text("header"), fact
    assert "done, but not with every file" in text
    assert "headless.csv" in text
    assert "rejected\twarn\t2\t" in text
    assert "This run against the one before: records read +" in text
    assert page.locator("footer a").first.get_attribute("href") == "https://db-ip.com"
    keys = page.locator("figure:has([data-chart=time]) .legend li").all_inner_texts()
    assert {"read", "find copies", "add up", "write the result"} <= set(keys)
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


def test_the_report_is_small_and_prints_light_and_open(show, version: Path, tmp_path: Path) -> None:
    assert (version / "report.html").stat().st_size < 2_000_000
    page, trouble = show(scheme="dark")
    page.wait_for_selector("html[data-drawn]")
    assert page.locator("details[open]").count() == 0
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.locator(".chart svg").first.get_attribute("width") == "680"
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"
    assert page.locator("details[open]").count() == 0
    assert page.pdf(path=tmp_path / "report.pdf", format="A4").startswith(b"%PDF")
    assert trouble == []
    page.close()


def test_paper_shows_every_table_whole_and_open_without_scripts(browser: Browser, version: Path) -> None:
    context = browser.new_context(
        java_script_enabled=False, color_scheme="dark", viewport={"width": 688, "height": 900}
    )
    page = context.new_page()
    page.goto((version / "report.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.get_by_text("MAX_RECORD_BYTES", exact=True).is_visible()
    tables = [table.bounding_box() for table in page.locator("table").all()]
    assert len(tables) >= 8
    for box in tables:
        assert box is not None
        assert box["x"] + box["width"] <= 688
    context.close()


def boxes(page: Page, chart: str) -> list[tuple[str, float, float, float, float]]:
    """Every text of a chart: left, top, right and bottom of its box."""
    return page.evaluate(
        """(chart) => [...document.querySelectorAll(`[data-chart=${chart}] svg text`)].map((text) => {
            const box = text.getBoundingClientRect();
            return [text.textContent, box.left, box.top, box.right, box.bottom];
        })""",
        chart,
    )


def colliding(texts: list[tuple[str, float, float, float, float]]) -> list[tuple[str, str]]:
    return [
        (one[0], other[0])
        for one, other in combinations(texts, 2)
        if one[1] < other[3] and other[1] < one[3] and one[2] < other[4] and other[2] < one[4]
    ]


@pytest.mark.parametrize("chart", ["flow", "time", "history"])
@pytest.mark.parametrize("width", [1200, 720, 400])
def test_labels_do_not_collide(show, chart: str, width: int) -> None:
    page, _ = show(width)
    page.wait_for_selector("html[data-drawn]")
    texts = boxes(page, chart)
    assert len(texts) > 5
    assert colliding(texts) == []
    assert max(text[3] for text in texts) <= width
    page.close()


@pytest.mark.parametrize("width", [1200, 400])
def test_labels_of_very_many_and_very_small_regions_do_not_collide(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    sizes = [4000, 2000, 1000, *[400] * 4, *[120] * 6, *[1] * 200]
    regions = [
        {"region": f"A region with a long name {n}", "users": 1, "events": size, "minutes": size * 1.0}
        for n, size in enumerate(sizes)
    ]
    counts = {"kept": sum(sizes), "records_read": sum(sizes) + 3, "rejected": 1, "conflicts": 1, "duplicates": 1}
    seconds = {"total": 9.0, "phase1": 8.9, "phase2": 0.05, "publish": 0.05}
    (tmp_path / "report.html").write_text(drawn_by_hand(make_record(regions=regions, seconds=seconds, **counts)))
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-drawn]")
    assert {"205 other regions", "rejected"} <= {text[0] for text in boxes(page, "flow")}
    assert colliding(boxes(page, "flow")) == []
    assert colliding(boxes(page, "time")) == [], "phases that are too short for their names have none"
    page.close()


@pytest.mark.parametrize("width", [1200, 400])
def test_tasks_speed_and_memory_have_one_axis_with_the_borders_of_the_phases(show, version: Path, width: int) -> None:
    page, _ = show(width)
    page.wait_for_selector("html[data-drawn]")
    found = page.evaluate(
        """() => {
            const chart = echarts.getInstanceByDom(document.querySelector("[data-chart=time]"));
            const option = chart.getOption();
            const lines = option.graphic[0].elements.filter((element) => element.type === "line");
            return {
                ends: option.xAxis.map((axis) => [axis.min, axis.max]),
                places: option.xAxis.map((_, panel) =>
                    [0, 1].map((at) => chart.convertToPixel({ xAxisIndex: panel }, at))),
                borders: lines.map(({ shape }) => [
                    chart.convertFromPixel({ xAxisIndex: 2 }, shape.x1), shape.y1, shape.y2,
                ]),
                below: option.grid[2].top + option.grid[2].height,
            };
        }"""
    )
    record = json.loads((version / "run.json").read_text())
    seconds = record["seconds"]
    assert len(found["ends"]) == 3
    assert found["ends"] == [[0, pytest.approx(seconds["total"], abs=0.001)]] * 3
    assert found["places"] == [found["places"][0]] * 3
    begin = seconds["total"] - seconds["phase1"] - seconds["phase2"] - seconds["publish"]
    ends = [begin + seconds["phase1"], begin + seconds["phase1"] + seconds["phase2"]]
    assert [border[0] for border in found["borders"][-2:]] == pytest.approx(ends, abs=0.02)
    assert all(top <= 20 and bottom == found["below"] for _, top, bottom in found["borders"])
    page.close()


class Structure(HTMLParser):
    """The tables of a page as rows of (element, scope), their captions, and the descriptions of its charts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[tuple[str, str | None]]]] = []
        self.captions = 0
        self.charts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = dict(given)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("th", "td"):
            self.tables[-1][-1].append((tag, attributes.get("scope")))
        self.captions += tag == "caption"
        if "data-chart" in attributes:
            self.charts[str(attributes["data-chart"])] = str(attributes["aria-label"])


def test_tables_have_headers_and_charts_are_described(version: Path) -> None:
    found = Structure((version / "report.html").read_text())
    assert len(found.tables) >= 8
    assert found.captions == len(found.tables)
    for heads, *rows in found.tables:
        assert set(heads) == {("th", "col")}
        assert rows
        for row in rows:
            assert row == [("th", "row"), *[("td", None)] * (len(heads) - 1)]
    record = json.loads((version / "run.json").read_text())
    assert set(found.charts) == {"flow", "time", "history"}
    assert f"Of {record['records_read']:,} records read, " in found.charts["flow"]
    assert re.search(r"workers?, speed and memory over the ", found.charts["time"])
    assert "Speed of 2 runs" in found.charts["history"]


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
    answer = command_json("--input", "a.csv", "--config", "gates.toml", cwd=tmp_path, code=4)
    (report,) = tmp_path.rglob("report.html")
    assert report.is_relative_to(tmp_path / "pipeline_data" / "intermediate")
    assert answer["error"][:30] in report.read_text()


def test_a_damaged_earlier_record_is_said_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "".join(ROWS[:2]))
    command_json("--input", "a.csv", cwd=tmp_path)
    earlier = (tmp_path / "pipeline_data" / "output").resolve().parent
    (earlier / "run.json").write_text("{")
    command_json("--input", "a.csv", cwd=tmp_path, env=environment(KEEP_VERSIONS=5))
    report = (tmp_path / "pipeline_data" / "output").resolve().parent / "report.html"
    assert "They cannot be compared: cannot read" in report.read_text()
