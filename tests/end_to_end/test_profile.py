"""--profile: stages whose amounts are the run's own counts, as a table, in run.json and as an event."""

import json
from pathlib import Path

import pytest

from tests.end_to_end.program import environment, run


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with generated logs in ``logs``, 2 MB in two files."""
    folder = tmp_path_factory.mktemp("profile")
    assert run("generate", "--size", "2MB", "--files", "2", "--output", folder / "logs", cwd=folder).code == 0
    return folder


@pytest.mark.parametrize("compiled", [True, False])
def test_amounts_are_what_the_run_counted(logs: Path, tmp_path: Path, compiled: bool) -> None:
    env = environment(COMPILED_PARSER=compiled, OUTPUT_DIR=tmp_path / "output")
    ended = run("--input", logs / "logs", "--engine", "polars", "--json", "--profile", cwd=tmp_path, env=env)
    answer = ended.answer
    record = json.loads((tmp_path / "output.versions" / answer["run_id"] / "run.json").read_text())
    profile = {part["stage"]: part for part in record["profile"]}
    amounts = {name: part["amount"] for name, part in profile.items()}
    good = answer["records_read"] - answer["rejected"]
    assert amounts["checksum"] == answer["bytes_read"]
    assert amounts["read"] > 0.99 * answer["bytes_read"]  # without the headers, which are read before
    assert amounts["scatter"] == good
    assert [amounts[name] for name in ("write", "load", "group")] == [answer["handed_over"]] * 3
    assert amounts["publish"] == answer["output_rows"]
    assert ("parse, hash, geo" in profile) == compiled
    assert compiled or amounts["hash"] == amounts["geo"] == good
    assert sum(part["share"] for part in record["profile"]) == pytest.approx(1, abs=1e-4)
    worked = sum(part["wall_seconds"] for part in record["profile"])
    assert 0 < worked <= answer["seconds"]["total"] * (record["plan"]["workers"] + 1)
    table = ended.err[ended.err.index("stage") :]
    for name in profile:
        assert f"\n{name} " in table
    assert f"{good:,} rows" in table


def test_it_is_printed_after_the_summary_and_is_an_event_of_the_log(logs: Path, tmp_path: Path) -> None:
    options = ["--input", logs / "logs", "--engine", "polars", "--profile"]
    printed = run(*options, cwd=tmp_path).out
    assert printed.index("Ask it in SQL") < printed.index("checksum")
    logged = run(*options, "--json", "--log-format", "json", "--full-refresh", cwd=tmp_path)
    events = [json.loads(line) for line in logged.err.splitlines()]
    started = [(event["phase"], event["total"]) for event in events if event["event"] == "phase_started"]
    finished = [(event["phase"], event["done"]) for event in events if event["event"] == "phase_finished"]
    assert started == finished != []
    stages = next(event["stages"] for event in events if event["event"] == "profile")
    assert {"read", "publish"} <= {part["stage"] for part in stages}
    assert logged.answer["status"] == "ok"
