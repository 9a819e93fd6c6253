"""Logmill from Python: what ``run`` and ``query`` return and raise, and that the examples of the page fit them."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest

import api
from pipeline.errors import ConfigError, InputError
from pipeline.reading import input_files

ROOT = Path(__file__).parents[1]
HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
ROWS = (
    "a,ann,2026-11-01T10:00:00Z,v,tv,8.8.8.8,10\n"
    "a,ann,2026-11-01T10:00:00Z,v,tv,8.8.8.8,10\n"
    "b,ann,2026-11-01T11:00:00Z,v,tv,8.8.8.8,2.5\n"
    "c,007,2026-11-01T11:00:00Z,v,tv,10.0.0.1,4\n"
)
PAGES = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", ROOT / "docs" / "python.md")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    (folder / "logs").mkdir()
    (folder / "logs" / "day.csv").write_text(HEADER + ROWS)
    (folder / "logs" / "bad.csv").write_text("1,2,3\n")
    return folder


def run(folder: Path, **more: object) -> api.Result:
    return api.run(
        folder / "logs",
        folder / "out",
        intermediate=folder / "mid",
        engine="polars",
        workers=1,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def result(folder: Path) -> api.Result:
    os.environ.pop("POLARS_MAX_THREADS", None)
    return run(folder)


def test_a_run_returns_its_result_and_prints_nothing(
    folder: Path, result: api.Result, capfd: pytest.CaptureFixture[str]
) -> None:
    assert (result.status, result.changed) == ("partial", True)
    assert result.path == (folder / "out").resolve(strict=True)
    assert result.version == result.path.parent.name
    assert "<html" in result.report.read_text(encoding="utf-8")
    assert (result.record["kept"], result.record["duplicates"]) == (3, 1)
    assert [Path(refused["file"]).name for refused in result.record["refused_files"]] == ["bad.csv"]
    expected = [("North America", "ann", 12.5, 2), ("PRIVATE", "007", 4.0, 1)]
    frame = result.to_polars()
    assert sorted(frame.rows()) == expected
    assert frame.schema == {
        "geo_region": pl.String, "user_id": pl.String, "total_watch_time_min": pl.Float64, "event_count": pl.Int64,
    }  # fmt: skip
    files = duckdb.sql(f"from '{result.path}/*/*.parquet' select sum(event_count)::int").fetchall()
    assert files == [(3,)]
    assert "POLARS_MAX_THREADS" not in os.environ
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("result")
def test_query_gives_a_frame_in_types_of_its_own(folder: Path) -> None:
    sql = "SELECT user_id, sum(event_count) AS n, max(started) AS at FROM watch_time, runs GROUP BY ALL ORDER BY n"
    frame = api.query(sql, folder / "out")
    assert frame.select("user_id", "n").rows() == [("007", 1), ("ann", 2)]
    assert frame.schema["n"] == pl.Int64
    assert frame.schema["at"] == pl.Datetime("us")
    assert len(api.query("FROM range(5000)", folder / "out")) == 5000, "all rows"
    assert len(api.query("FROM range(5000)", folder / "out", limit=7)) == 7
    huge = api.query("SELECT 1000000000000000000000000000001::hugeint AS n", folder / "out")
    assert int(huge["n"][0]) == 10**30 + 1
    assert api.query("SELECT 1 AS a, 2 AS a", folder / "out").rows() == [(1, 2)]
    with pytest.raises(ConfigError, match="found DROP"):
        api.query("DROP VIEW runs", folder / "out")
    with pytest.raises(InputError, match="nothing is published"):
        api.query("FROM runs", folder / "elsewhere")


def test_a_run_that_publishes_nothing_raises(folder: Path) -> None:
    (folder / "worse").mkdir()
    (folder / "worse" / "bad.csv").write_text("1,2,3\n")
    with pytest.raises(api.RunFailed, match="every input file was refused") as failed:
        api.run(folder / "worse", folder / "o2", intermediate=folder / "m2", engine="polars", workers=1)
    assert failed.value.exit_code == 3
    assert len(failed.value.record["refused_files"]) == 1  # type: ignore[arg-type]


def test_a_wrong_setting_is_an_error_of_the_call(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^memory_limit is '8GBs': expected a size"):
        run(folder, memory_limit="8GBs")
    with pytest.raises(ConfigError, match=r"unknown setting 'GEO_LEVL'.*did you mean GEO_LEVEL"):
        run(folder, GEO_LEVL="country")


def start(script: Path, text: str) -> subprocess.CompletedProcess[str]:
    script.write_text(text)
    return subprocess.run(
        [sys.executable, script], env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )


CALL = "run({0!r}, {1!r}, intermediate={2!r}, engine='polars', workers=1)"


def test_a_script_without_a_guard_is_told_so_and_starts_nothing(folder: Path) -> None:
    places = (str(folder / "logs"), str(folder / "o3"), str(folder / "m3"))
    body = f"from api import run\n\n\ndef go():\n    return {CALL.format(*places)}\n\n\n"
    ended = start(folder / "bare.py", body + "print(go())\n")
    assert ended.returncode == 1
    assert (
        'expected the call of run() in a block `if __name__ == "__main__":`, found it in line 8 of bare.py'
        in ended.stderr
    )
    assert ended.stderr.count("Traceback") == 1
    assert not (folder / "m3").exists()
    ended = start(folder / "guarded.py", body + 'if __name__ == "__main__":\n    print(go().record["kept"])\n')
    assert (ended.stdout, ended.stderr, ended.returncode) == ("3\n", "", 0)


def python_blocks(name: str) -> list[str]:
    return [block for block in re.findall(r"```python\n(.*?)```", PAGES[name], flags=re.DOTALL) if "from api" in block]


@pytest.mark.parametrize("name", PAGES)
def test_the_examples_compile_and_call_what_there_is(name: str) -> None:
    blocks = python_blocks(name)
    assert len(blocks) == {"README.md": 1, "python.md": 4}[name]
    for block in blocks:
        tree = compile(block, name, "exec", ast.PyCF_ONLY_AST)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == "api":
                assert {alias.name for alias in node.names} <= set(api.__all__)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("run", "query"):
                names = [keyword.arg for keyword in node.keywords]
                known = set(inspect.signature(getattr(api, node.func.id)).parameters)
                assert {name for name in names if name and not name.isupper()} <= known
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "result":
                assert node.attr in {*api.Result.__dataclass_fields__, "to_polars"}


def test_the_record_is_json(result: api.Result) -> None:
    assert json.loads(json.dumps(result.record)) == result.record


def test_the_input_is_listed_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever asks for its size, to choose the engine, or else by the run."""
    calls: list[object] = []
    whole = input_files.find_inputs
    monkeypatch.setattr(input_files, "find_inputs", lambda *asked: calls.append(asked) or whole(*asked))
    for engine in ("auto", "polars"):
        calls.clear()
        place = tmp_path / engine
        api.run(folder / "logs", place / "out", intermediate=place / "mid", engine=engine, workers=1)
        assert len(calls) == 1, engine


def test_a_program_from_stdin_runs(folder: Path, tmp_path: Path) -> None:
    program = f"""
from api import run
if __name__ == "__main__":
    print(run({str(folder / "logs" / "day.csv")!r}, {str(tmp_path / "out")!r}, workers=2, engine="polars",
              intermediate={str(tmp_path / "mid")!r}).status, __file__)
"""
    done = subprocess.run([sys.executable, "-"], input=program, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("ok <stdin>\n", 0), done.stderr
