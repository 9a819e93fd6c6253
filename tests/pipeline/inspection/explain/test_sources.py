"""Records read again from their files, and files that can no longer be read."""

import gzip
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.inspection.explain.sources import Source, find_difference, find_growth, open_source, placed_splits
from tests.examples import tries
from tests.harness import HEADER, Harness
from tests.pipeline.inspection.explain.conftest import FILES, Make, known_files

MAX_RECORD = 256


def test_a_file_is_compared_with_what_was_read(make: Make, tmp_path: Path) -> None:
    made = make()
    file, path = made.files[0], made.paths[0]
    assert find_difference(file) is None
    os.utime(path, (1, 1))  # the same bytes with another time: they are hashed
    assert find_difference(file) is None
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"2.5", b"2.6"))
    assert find_difference(file) == "it has changed since it was read"
    path.write_bytes(whole + b"\n")
    assert find_difference(file) is None
    assert find_growth(file) == "more was appended to it since it was read"
    path.unlink()
    assert find_difference(file) == "it is no longer there"
    path.mkdir()
    assert find_difference(file) == "it has changed since it was read"
    path.rmdir()
    (tmp_path / "file").touch()
    path.symlink_to(tmp_path / "file" / "x")
    assert str(find_difference(file)).startswith("it cannot be read (")


def test_the_bytes_and_lines_of_records(make: Make) -> None:
    made = make()
    lines = FILES[0].splitlines(keepends=True)
    ((_, placed),) = placed_splits(made.files[0]).items()
    with open_source(made.files[0], MAX_RECORD) as source:
        assert isinstance(source, Source)
        offset = 0
        for number, line in enumerate(lines):
            assert source.record(placed, offset) == line.rstrip(b"\n")
            assert source.line(made.published.store, placed, offset) == 2 + number
            offset += len(line)


@tries(20)
@given(
    st.lists(st.sampled_from([b"x,u,,,,8.8.8.8,1\n", b'"x""y",u,,,,8.8.8.8,2\n', b'"x\ny",u,,,,8.8.8.8,3\n', b"\n",
                              b"y,v,,,,9.9.9.9,4\r\n", b"x,u,,,,8.8.8.8,bad\n"]), min_size=1, max_size=30),
    st.sampled_from(["x", 'x"y', "x\ny", "y", "none"]),
)  # fmt: skip
def test_records_are_found_in_every_chunk_with_their_lines(lines: list[bytes], log_id: str) -> None:
    begins = {b"x,": "x", b'"x""': 'x"y', b'"x\n': "x\ny", b"y,": "y"}
    expected = []
    offset, number = 0, 2
    for line in lines:
        if b"bad" not in line and begins.get(next((b for b in begins if line.startswith(b)), b"")) == log_id:
            expected.append((offset, number))
        offset, number = offset + len(line), number + line.count(b"\n")
    with Harness([HEADER + b"".join(lines)], chunk_bytes=64) as run:
        (file,) = known_files(run)
        found: list[tuple[int, int]] = []
        with open_source(file, MAX_RECORD) as source:
            assert isinstance(source, Source)
            for placed in placed_splits(file).values():
                rows = source.find(run.workspace, placed, log_id)
                if len(rows):
                    assert set(rows["log_id"]) == {log_id}
                    begin = placed.result.start - len(HEADER)
                    found += [(begin + at, source.line(run.workspace, placed, at)) for at in rows["offset"]]
    assert found == expected


def test_only_the_chunks_with_the_log_id_are_parsed() -> None:
    lines = [b"id-%02d,u,,,,8.8.8.8,1\n" % number for number in range(40)]
    with Harness([HEADER + b"".join(lines)], chunk_bytes=64) as run:
        (file,) = known_files(run)
        ((_, placed),) = placed_splits(file).items()
        with open_source(file, MAX_RECORD) as source:
            assert isinstance(source, Source)
            for number in range(40):
                rows = source.find(run.workspace, placed, f"id-{number:02d}")
                assert rows["offset"].to_list() == [number * len(lines[0])]


def test_the_columns_of_records_that_are_found(make: Make) -> None:
    made = make()
    ((_, placed),) = placed_splits(made.files[1]).items()
    with open_source(made.files[1], MAX_RECORD) as source:
        assert isinstance(source, Source)
        rows = source.find(made.published.store, placed, "c")
    assert rows.schema["offset"] == pl.Int64
    assert rows.select("log_id", "user_id", "ip_address", "micro_minutes").rows() == [
        ("c", "u2", "1.0.0.1", 7_000_000),
        ("c", "u1", "1.0.0.1", 5_000_000),
    ]
    begin = len(b"".join(FILES[1].splitlines(keepends=True)[:2]))
    assert rows["offset"].to_list() == [begin, begin + len(FILES[1].splitlines(keepends=True)[2])]


def as_known(path: Path, text_size: int) -> Any:
    """What ``open_source`` reads of a known file that has not changed."""
    hint = SimpleNamespace(proves_same=lambda _: True)
    return SimpleNamespace(path=str(path), hint=hint, text_size=text_size)


def test_a_compressed_file_is_expanded_for_the_time_being(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    text = HEADER + FILES[0]
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(text))
    with open_source(as_known(path, len(text)), MAX_RECORD) as source:
        assert isinstance(source, Source)
        assert source.stream.read() == text
        assert list((tmp_path / "scratch").iterdir())
    assert list((tmp_path / "scratch").iterdir()) == []
    with open_source(as_known(path, len(text) + 1), MAX_RECORD) as source:
        assert source == "it has changed since it was read"
    path.write_bytes(b"\x1f\x8b damaged")
    with open_source(as_known(path, len(text)), MAX_RECORD) as source:
        assert isinstance(source, str)
