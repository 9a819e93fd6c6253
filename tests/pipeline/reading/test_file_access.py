"""Files are identified by their status, and a refusal says what the system said."""

import errno
import os
from pathlib import Path

import pytest

from pipeline.errors import FileRefused
from pipeline.reading.file_access import open_file, stamp_of, unreadable


def test_a_stamp_is_size_time_and_inode(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"12345")
    os.utime(path, ns=(1, 1_234_567_890_123_456_789))
    assert stamp_of(path.stat()) == (5, 1_234_567_890_123_456_789, path.stat().st_ino)


def test_a_stamp_changes_with_the_content_the_time_and_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "a.csv", tmp_path / "b.csv"
    for each in (path, other):
        each.write_bytes(b"12345")
        os.utime(each, ns=(1, 1))
    stamps = {stamp_of(path.stat()), stamp_of(other.stat())}
    os.utime(path, ns=(1, 2))
    stamps.add(stamp_of(path.stat()))
    path.write_bytes(b"123456")
    os.utime(path, ns=(1, 1))
    stamps.add(stamp_of(path.stat()))
    assert len(stamps) == 4


def test_a_file_is_opened_for_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xff\r\n")
    with open_file(str(path)) as stream:
        assert stream.read() == b"\xff\r\n"


def test_a_missing_file_is_refused_with_the_words_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileRefused) as raised:
        open_file(str(tmp_path / "missing.csv"))
    assert str(raised.value) == ("cannot be read: No such file or directory. Check that it exists and its permissions.")
    assert isinstance(raised.value.__cause__, FileNotFoundError)


@pytest.mark.parametrize(
    ("fault", "position", "expected"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), 0, "cannot be read near byte 0: Input/output error."),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 4096, "cannot be read near byte 4096: Input/output error."),
        (OSError("odd"), None, "cannot be read: odd. Check that it exists and its permissions."),
    ],
    ids=["first byte", "later byte", "fault without a number"],
)
def test_a_fault_becomes_one_sentence(fault: OSError, position: int | None, expected: str) -> None:
    assert str(unreadable(fault, position)) == expected
