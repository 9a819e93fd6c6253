"""The figures of the README are those that the last benchmark wrote."""

import re
from pathlib import Path

import pytest

from benchmarks.contenders import ENGINES, PEERS
from benchmarks.measure import Measurement
from benchmarks.options import PAGE, README, parse
from benchmarks.rounds import Round
from benchmarks.summary import passage, summary_lines

FIGURE = re.compile(r"\d+\.\d+ / \d+\.\d+")


def test_the_readme_shows_the_passage_of_the_page() -> None:
    page, readme = PAGE.read_text(encoding="utf-8"), README.read_text(encoding="utf-8")
    assert FIGURE.search(passage(page))
    assert passage(readme) == passage(page), "run: make bench, or copy what stands between the markers"
    assert not FIGURE.search(readme.replace(passage(readme), ""))


def test_a_page_without_these_peers_has_no_passage() -> None:
    runs = {ENGINES["spark"]: [Measurement(1.0, 1, None)], PEERS["pyspark_cluster"]: [Measurement(2.0, 1, None)]}
    assert summary_lines([Round("generator", 10**6, 10**6, runs, None, {}, {})]) == []


def test_the_usual_page_takes_the_readme_along(tmp_path: Path) -> None:
    assert parse([]).readme == README
    assert parse(["--report", str(tmp_path / "other.md")]).readme is None
    assert parse(["--readme", str(tmp_path / "readme.md")]).readme == tmp_path / "readme.md"


def test_lists_of_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    options = parse(["--data", "json,generator", "--sizes", "250MB,2GB", "--workers", "1,2,1"])
    assert options.data == ["json", "generator"]
    assert options.sizes == [250_000_000, 2_000_000_000]
    assert options.workers == [1, 2]
    assert options.runs == 5
    for wrong, said in (("--data=csv", "expected some of generator, independent, json"), ("--workers=0", "from 1 on")):
        with pytest.raises(SystemExit):
            parse([wrong])
        assert said in capsys.readouterr().err
