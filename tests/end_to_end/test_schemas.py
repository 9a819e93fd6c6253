"""run.json and --json of real runs are as docs/schema says, complete, partial, failed and unchanged ones."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from tests.end_to_end.command import command_json
from tests.end_to_end.program import HEADER, JSON_KEYS, ROOT, environment

RUN, ANSWER = (
    json.loads((ROOT / "docs" / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))
    for name in ("run", "answer")
)
ROWS = "a,ann,2026-11-01T10:00:00Z,v,tv,8.8.8.8,10\nb,ann,2026-11-01T11:00:00Z,v,tv,8.8.8.8,-1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "logs").mkdir()
    (folder / "logs" / "day.csv").write_text(HEADER + ROWS)
    (folder / "logs" / "bad.csv").write_text("1,2,3\n")
    return folder


@pytest.fixture(scope="module")
def answers(folder: Path) -> list[dict]:
    """A partial run, one that finds nothing new, one that a gate stops, and one without input."""
    gates = environment(QUALITY_GATES='{"rejected": {"warn": 0.1, "fail": 0.2}}')
    return [
        command_json("--input", "logs", cwd=folder, code=6),
        command_json("--input", "logs", cwd=folder, code=6),
        command_json("--input", "logs", "--output", "stopped", cwd=folder, env=gates, code=4),
        command_json("--input", "no such folder", cwd=folder, code=3),
    ]


def test_schemas_are_schemas() -> None:
    for schema in (RUN, ANSWER):
        jsonschema.Draft202012Validator.check_schema(schema)
    assert list(ANSWER["properties"]) == ANSWER["required"]
    assert set(ANSWER["properties"]) == set(JSON_KEYS)
    assert set(RUN["properties"]) > set(JSON_KEYS)


def test_answers_are_as_their_schema_says(answers: list[dict]) -> None:
    for answer in answers:
        jsonschema.validate(answer, ANSWER, jsonschema.Draft202012Validator)
    assert [answer["publication"] for answer in answers] == ["yes", "unchanged", "no", "no"]
    assert set(answers[0]["new"]) == set(ANSWER["properties"]["new"]["properties"])


def test_records_are_as_their_schema_says(answers: list[dict], folder: Path) -> None:
    path = folder / "pipeline_data" / "output.versions" / answers[0]["version"] / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(record, RUN, jsonschema.Draft202012Validator)
    assert set(record) == set(RUN["properties"])
    assert set(record["ledger"][0]) == set(RUN["properties"]["ledger"]["items"]["properties"])


def test_a_wrong_answer_is_noticed(answers: list[dict]) -> None:
    for name, value in (("status", "fine"), ("kept", -1), ("new", {}), ("refused_files", [{"file": "x"}])):
        wrong = copy.deepcopy(answers[0]) | {name: value}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, ANSWER, jsonschema.Draft202012Validator)
