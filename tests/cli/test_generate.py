"""``generate`` as a user types it: it refuses what is not its own."""

import json
from pathlib import Path

import pytest

from main import main

SMALL = ("--files", "2", "--size", "200kB", "--users", "20")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOGMILL_PREPROCESSING_WORKERS", "1")
    return tmp_path


def generate(*words: str) -> int:
    return main(["generate", "--quiet", *SMALL, *words])


def held(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "way", [["--output", "logs"], []], ids=["a folder that is named", "the default folder, where somebody put a log"]
)
def test_a_log_that_it_did_not_make_is_never_touched(
    way: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = folder / ("logs" if way else "pipeline_data/input_logs")
    logs.mkdir(parents=True)
    (logs / "mine.csv").write_text("precious")
    before = held(folder)
    assert generate(*way) == 2
    assert "--force" in capsys.readouterr().err
    assert held(folder) == before
    assert generate(*way, "--force") == 0
    assert (logs / "mine.csv").read_text() == "precious"
    assert len(list(logs.iterdir())) == 4


@pytest.mark.parametrize("origin", ["environment", "file"])
def test_the_input_of_the_user_is_never_filled(
    origin: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = folder / "logs"
    if origin == "environment":
        monkeypatch.setenv("LOGMILL_INPUT_DIR", str(logs))
    else:
        (folder / "logmill.toml").write_text('INPUT_DIR = "logs"\n')
    before = held(folder)
    for words in ([], ["--force"], ["--output", "logs"], ["--output", "./other/../logs"]):
        assert generate(*words) == 2, words
        assert "--output" in capsys.readouterr().err
    assert held(folder) == before
    assert not logs.exists()
    assert generate("--output", "other") == 0
    assert generate("--output", "logs", "--force") == 2, "never"


def test_a_glob_stands_for_its_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "logs").mkdir()
    monkeypatch.setenv("LOGMILL_INPUT_DIR", "logs/*.csv")
    assert generate("--output", "logs") == 2
    assert not list((folder / "logs").iterdir())


def test_the_answer_in_json_is_the_truth(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate("--output", "new", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    truth = json.loads((folder / "new" / "truth.json").read_text())
    assert found["folder"] == "new"
    assert {name: found[name] for name in ("records", "duplicates", "conflicts", "rejected", "bytes")} == {
        name: truth[name] for name in ("records", "duplicates", "conflicts", "rejected", "bytes")
    }
    assert found["file_names"] == sorted(path.name for path in (folder / "new").glob("*.csv"))
