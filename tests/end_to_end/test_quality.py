"""Quality gates and record rules from the command line: what they count, what they stop, and what they leave alone."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, environment, published
from tests.harness import run_here

COUNTS = {
    "rejected": (4, 100),
    "duplicates": (10, 100),
    "conflicts": (6, 100),
    "unknown_region": (0, 80),
    "invalid_region": (20, 80),
    "unreadable_timestamps": (0, 96),
}
"""By construction: records of 100, events of 80."""
RULES = {
    "day": {"max_minutes": 1440, "action": "reject"},
    "device": {"column": "device_type", "allowed": ["tv", "phone"], "action": "reject"},
    "video": {"column": "video_id", "pattern": "v[0-9]+", "action": "warn"},
}


def row(log_id: object, user: str = "ann", device: str = "tv", ip: str = "8.8.8.8", minutes: object = 1) -> str:
    return f"{log_id},{user},2026-01-01T00:00:00Z,v1,{device},{ip},{minutes}\n"


@pytest.fixture
def counted(tmp_path: Path) -> Path:
    """One hundred records, of which every share is known."""
    rows = [row(n, ip="none" if n < 20 else "8.8.8.8") for n in range(80)]
    rows += [row(n, ip="none" if n < 20 else "8.8.8.8") for n in range(10)]  # copies
    rows += [row(n + 30, minutes=0.5) for n in range(6)]  # shorter ones lose
    rows += [row(f"bad{n}", minutes="much") for n in range(4)]
    (tmp_path / "logs.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def gates(**limits: dict[str, float]) -> dict[str, str]:
    return environment(QUALITY_GATES=json.dumps(limits))


@pytest.mark.parametrize("cut", [{}, {"SPLIT_BYTES": 600}], ids=["phase 1", "both phases"])
def test_every_gate_counts_what_it_says(counted: Path, cut: dict[str, int]) -> None:
    limits = {name: {"warn": 0, "fail": 1} for name in COUNTS}
    env = environment(QUALITY_GATES=json.dumps(limits), **cut)
    answer = command_json("--input", "logs.csv", cwd=counted, env=env)
    found = {entry["name"]: entry for entry in answer["quality"]}
    assert {name: (entry["count"], entry["of"]) for name, entry in found.items()} == COUNTS
    for name, (count, of) in COUNTS.items():
        assert found[name]["share"] == count / of
        assert found[name]["outcome"] == ("warn" if count else "ok")
        assert found[name]["limit"] == 0
    assert bool(answer["duplicates_phase2"]) == bool(cut)
    record = json.loads(next(counted.glob("pipeline_data/output.versions/*/run.json")).read_text())
    assert record["quality"] == answer["quality"]
    assert record["settings"]["QUALITY_GATES"][0] == {"name": "rejected", "warn": 0, "fail": 1}


@pytest.mark.parametrize("name", ["rejected", "invalid_region"])
def test_a_share_above_the_limit_fails_and_one_equal_to_it_does_not(name: str, counted: Path) -> None:
    count, of = COUNTS[name]
    assert run_here(counted, "logs.csv", QUALITY_GATES=json.dumps({name: {"fail": count / of}})).status == "ok"
    before = published(counted)
    link = (counted / "pipeline_data" / "output").readlink()
    answer = command_json("--input", "logs.csv", cwd=counted, env=gates(**{name: {"fail": 0.001}}), code=4)
    assert answer["status"] == "failed"
    assert f"{name}: {count} of {of}" in answer["error"]
    assert "limit 0.1000%" in answer["error"]
    assert (answer["records_read"], answer["output_rows"]) == (100, 0)
    assert published(counted) == before
    assert (counted / "pipeline_data" / "output").readlink() == link
    assert len(list(counted.glob("pipeline_data/output.versions/2*"))) == 1


def test_what_a_stopped_run_rejected_can_be_looked_at(counted: Path) -> None:
    unfinished = counted / "pipeline_data" / "output.versions" / ".new-20200101T000000Z-abcdef" / "quarantine"
    unfinished.mkdir(parents=True)
    ended = command("--input", "logs.csv", "--engine", "polars", cwd=counted, env=gates(rejected={"fail": 0.01}))
    assert ended.code == 4
    assert "Failed" in ended.out
    assert "fail: rejected: 4 of 100 records (4.0000%), limit 1.0000%" in ended.out
    (stopped,) = counted.glob("pipeline_data/intermediate/run-*/stopped")
    assert pl.read_parquet(stopped / "quarantine" / "rejected.parquet")["value"].to_list() == ["much"] * 4
    assert json.loads((stopped / "run.json").read_text())["status"] == "failed"
    assert not (counted / "pipeline_data" / "output").exists()
    assert not unfinished.parent.exists(), (
        "what a killed run left goes with the next one, also where that publishes nothing"
    )
    command_json("--input", "logs.csv", cwd=counted)
    assert not stopped.exists()


def test_a_warning_is_heard_also_with_json(counted: Path) -> None:
    env = gates(duplicates={"warn": 0.05}, conflicts={"warn": 0.9})
    ended = command("--input", "logs.csv", "--engine", "polars", "--json", cwd=counted, env=env)
    assert ended.code == 0
    assert "warning: duplicates: 10 of 100 records" in ended.err
    assert "conflicts" not in ended.err


@pytest.fixture
def ruled(tmp_path: Path) -> Path:
    """Two files in which some records break each of RULES; the second has its columns in another order."""
    rows = [row(n, user=f"u{n}") for n in range(20)]
    rows += [row("long", minutes=1440.000001), row("day", minutes=1440), row("fridge", device="fridge")]
    rows += [row("quoted", device='"phone"'), row("both", device="Fridge", minutes=9999), row("none", device="")]
    rows += [row("odd").replace(",v1,", ",v1 ,"), row("odd and bad", minutes=-1).replace(",v1,", ",x,")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(HEADER + "".join(rows))
    lines = [line.split(",")[::-1] for line in [HEADER.strip(), row("other", device="x;y").strip()]]
    (tmp_path / "in" / "b.csv").write_text("".join("\t".join(line) + "\n" for line in lines))
    return tmp_path


@pytest.mark.parametrize("cut", [{}, {"CHUNK_BYTES": 64, "SPLIT_BYTES": 200}])
def test_records_that_break_a_rule(cut: dict[str, int], ruled: Path) -> None:
    env = environment(RECORD_RULES=json.dumps(RULES), **cut)
    answer = command_json("--input", "in", cwd=ruled, env=env)
    assert answer["rejected_by_reason"] == {"rule:day": 2, "rule:device": 3, "watch_time_negative": 1}
    assert answer["kept"] == 23
    assert [(e["name"], e["count"], e["of"], e["outcome"]) for e in answer["quality"]] == [
        ("rule:day", 2, 29, "reject"),
        ("rule:device", 3, 29, "reject"),
        ("rule:video", 1, 29, "warn"),
        ("all_rejected", 1, 29, "warn"),
    ]
    rejected = pl.read_parquet(str(ruled / "pipeline_data/output.versions/*/quarantine/rejected.parquet"))
    broken = rejected.filter(pl.col("reason").str.starts_with("rule:")).sort("file", "line")
    assert broken.select("line", "reason", "column", "value").rows() == [
        (22, "rule:day", "watch_time(min)", "1440.000001"),
        (24, "rule:device", "device_type", "fridge"),
        (26, "rule:day", "watch_time(min)", "9999"),
        (27, "rule:device", "device_type", ""),
        (2, "rule:device", "device_type", "x;y"),
    ]
    assert broken["raw"][1] == row("fridge", device="fridge").strip().encode()


def test_a_file_without_a_rule_column(ruled: Path) -> None:
    lines = [HEADER, row("less", user="less")]
    short = "".join(",".join(part for place, part in enumerate(line.split(",")) if place != 4) for line in lines)
    (ruled / "in" / "c.csv").write_text(short)
    answer = command_json("--input", "in", cwd=ruled, env=environment(RECORD_RULES=json.dumps(RULES)), code=6)
    ((refused,),) = [answer["refused_files"]]
    assert "missing 'device_type'" in refused["reason"]
    assert answer["kept"] == 23

    warning = RULES | {"device": RULES["device"] | {"action": "warn"}}
    env = environment(RECORD_RULES=json.dumps(warning))
    ended = command("--input", "in", "--engine", "polars", cwd=ruled, env=env | {"COLUMNS": "1000"})
    assert ended.code == 0, ended.err
    summary = " ".join(ended.out.split())
    assert "rule:device was not applied to files without the column 'device_type': in/c.csv" in summary
    assert "warn: rule:device: 3 of 30 records" in summary
    assert "the headers differ: 3 layouts of columns in 3 files" in summary
    assert "less" in {user for _, user, _, _ in published(ruled)}


def test_without_rules_nothing_is_rejected_that_was_not_before(ruled: Path) -> None:
    answer = command_json("--input", "in", cwd=ruled)
    assert (answer["quality"], answer["rejected_by_reason"]) == ([], {"watch_time_negative": 1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"QUALITY_GATES": '{"rejectd": {"fail": 0.1}}'}, "rejectd"),
        ({"RECORD_RULES": '{"x": {"column": "device_type", "pattern": "(", "action": "warn"}}'}, "unclosed group"),
    ],
)
def test_a_mistake_in_them_is_found_before_work(settings: dict[str, str], message: str, ruled: Path) -> None:
    answer = command_json("--input", "in", cwd=ruled, env=environment(**settings), code=2)
    assert message in answer["error"]
    assert not (ruled / "pipeline_data").exists()
