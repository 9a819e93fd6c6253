"""Mended records count once: in the replay itself, and in every later run over the same input and output."""

import gzip
import shutil
import stat
from pathlib import Path

import pytest

from tests.end_to_end.command import command, command_json
from tests.end_to_end.program import HEADER, Rows, environment, published, read_result
from tests.harness import run_here

GOOD = "a1,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1.5\n"
BROKEN = 'a2,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,"2,5"\n'
MENDED = "a2,ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,2.5\n"
BEFORE: Rows = [("North America", "ann", 1.5, 1)]
AFTER: Rows = [("North America", "ann", 4.0, 2)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published run over a log with a broken record, and the mended record in a file."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(HEADER + GOOD + BROKEN)
    (tmp_path / "mend.csv").write_text(HEADER + MENDED)
    run_here(tmp_path)
    assert published(tmp_path) == BEFORE
    return tmp_path


def replay(folder: Path, *arguments: object, code: int = 0, **settings: object) -> dict:
    """The command ``replay``; options of ``run`` follow the files."""
    ended = command("replay", *arguments, "--input", "logs", "--engine", "polars", "--json", cwd=folder,
                env=environment(**settings))  # fmt: skip
    assert ended.code == code, ended.err
    return ended.answer


def counts(answer: dict) -> tuple[int, ...]:
    return tuple(answer[name] for name in ("records_read", "kept", "duplicates", "conflicts", "rejected"))


def test_a_mended_record_counts_from_now_on(folder: Path) -> None:
    assert counts(replay(folder, "mend.csv")) == (3, 2, 0, 0, 1)
    assert published(folder) == AFTER
    assert counts(replay(folder, "mend.csv")) == (3, 2, 0, 0, 1), "the same file is there once"
    (folder / "mend.csv").unlink()
    shutil.rmtree(folder / "pipeline_data" / "intermediate")
    assert counts(command_json("--input", "logs", cwd=folder)) == (3, 2, 0, 0, 1)
    assert counts(command_json("--input", folder / "logs", cwd=folder)) == (3, 2, 0, 0, 1)
    assert published(folder) == AFTER
    (stored,) = (folder / "pipeline_data").glob("output.versions/replayed/*/*.csv")
    assert stored.read_text() == HEADER + MENDED
    assert stat.S_IMODE(stored.stat().st_mode) == 0o600
    assert stat.S_IMODE(stored.parent.stat().st_mode) == 0o700
    stored.unlink()
    assert counts(command_json("--input", "logs", cwd=folder)) == (2, 1, 0, 0, 1), "who deletes it, takes it back"
    assert published(folder) == BEFORE


def test_what_counted_already_is_a_duplicate(folder: Path) -> None:
    (folder / "more.csv").write_text(HEADER + GOOD + MENDED + MENDED)
    assert counts(replay(folder, "mend.csv", "more.csv")) == (6, 2, 3, 0, 1)
    assert published(folder) == AFTER


def test_other_columns_delimiters_and_names(folder: Path) -> None:
    odd = folder / "-mended [1] .txt"
    odd.write_text("watch_time(min)\tip_address\tuser_id\tlog_id\n2.5\t8.8.8.8\tann\ta2\n")
    assert counts(replay(folder, odd)) == (3, 2, 0, 0, 1)
    assert published(folder) == AFTER


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MENDED.encode(), "no header"),
        (b"PAR1\0\0", "Parquet"),
        (gzip.compress(b"x", mtime=0), "is compressed"),
        (HEADER.encode("utf-16"), "UTF-16"),
        (None, "no file"),
    ],
)
def test_a_file_that_cannot_be_replayed_changes_nothing(folder: Path, content: bytes | None, message: str) -> None:
    (folder / "mend.csv").unlink()
    if content is not None:
        (folder / "mend.csv").write_bytes(content)
    error = replay(folder, "mend.csv", code=3)["error"]
    assert message in error
    assert "8.8.8.8" not in error
    assert "ann" not in error
    assert published(folder) == BEFORE
    assert not list((folder / "pipeline_data").glob("output.versions/replayed/*/*.csv"))
    assert not list((folder / "pipeline_data").glob("output.versions/replayed/*/.*"))
    assert counts(command_json("--input", "logs", cwd=folder)) == (2, 1, 0, 0, 1)


def test_a_replay_that_fails_is_not_kept(folder: Path) -> None:
    rows = "".join(f"{n},ann,2026-01-01T00:00:00Z,v,tv,8.8.8.8,1000000000\n" for n in range(9_300))
    (folder / "mend.csv").write_text(HEADER + rows)
    replay(folder, "mend.csv", code=1)
    assert published(folder) == BEFORE
    assert counts(command_json("--input", "logs", cwd=folder)) == (2, 1, 0, 0, 1)


def test_replays_alone_are_no_result(folder: Path) -> None:
    (folder / "logs" / "a.csv").write_text("nothing\n")
    answer = replay(folder, "mend.csv", "--full-refresh", code=3)
    assert answer["status"] == "failed"
    assert published(folder) == BEFORE
    assert not list((folder / "pipeline_data").glob("output.versions/replayed/*/*.csv"))


def test_other_inputs_and_outputs_stay_as_they_are(folder: Path) -> None:
    replay(folder, "mend.csv")
    shutil.copytree(folder / "logs", folder / "december")
    ended = command("--input", "december", "--full-refresh", "--engine", "polars", cwd=folder)
    assert ended.code == 0
    assert "replayed files of other inputs do not count here: 1" in ended.out
    assert published(folder) == BEFORE
    command_json("--input", "logs", "--output", "elsewhere", cwd=folder)
    assert read_result(folder / "elsewhere") == BEFORE
    ended = command("--input", "logs", "--full-refresh", "--engine", "polars", cwd=folder)
    assert "1 replayed file counts besides the input" in ended.out
    assert published(folder) == AFTER
    ended = command("--input", "december", "--add", "--engine", "polars", cwd=folder)
    assert published(folder) == AFTER
    assert "do not count" not in ended.out, "what counts with the input that was there before counts on"
