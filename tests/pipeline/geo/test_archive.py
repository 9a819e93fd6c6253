"""An archive is written whole or not at all, and whatever is wrong with one is Unreadable."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.geo.archive import Arrays, Unreadable, read_archive, read_notes, readable, write_archive

NOTES = {"format": 7, "labels": ["", "é"]}
ARRAYS: Arrays = {"start": np.array([0, 5], np.uint32), "code": np.zeros((0, 2), np.uint16)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "table.npz"


@pytest.mark.parametrize("compressed", [True, False])
def test_what_is_written_is_read(path: Path, compressed: bool) -> None:
    write_archive(path, NOTES, ARRAYS, compressed)
    notes, arrays = read_archive(path)
    assert notes == read_notes(path) == NOTES
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        assert arrays[name].tolist() == array.tolist()
    assert path.stat().st_mode & 0o777 == 0o644


def test_compression_is_a_choice(path: Path) -> None:
    sizes = {}
    for compressed in (True, False):
        write_archive(path, {}, {"zeros": np.zeros(10_000, np.uint64)}, compressed)
        sizes[compressed] = path.stat().st_size
    assert sizes[True] < 8_000 < 80_000 < sizes[False]


@pytest.mark.parametrize("compressed", [True, False])
def test_equal_content_gives_equal_bytes_in_any_order_of_the_notes(path: Path, compressed: bool) -> None:
    write_archive(path, NOTES, ARRAYS, compressed)
    before = path.read_bytes()
    write_archive(path, dict(reversed(NOTES.items())), ARRAYS, compressed)
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_the_older_file_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(path, NOTES, ARRAYS, compressed=False)
    before = path.read_bytes()

    def fill_the_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fill_the_disk)
    with pytest.raises(OSError, match="no space left"):
        write_archive(path, NOTES, {"other": np.ones(5)}, compressed=False)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip_data(content: bytes) -> bytes:
    """One bit of the last array's numbers."""
    at = content.index((5).to_bytes(4, "little"), content.index(b"start.npy"))
    return content[:at] + b"\x07" + content[at + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "text": lambda _: b"no archive",
    "cut": cut,
    "a flipped number": flip_data,
    "no notes": lambda content: content.replace(b"notes", b"notez"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_is_unreadable(path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_archive(path, NOTES, ARRAYS, compressed=False)
    content = path.read_bytes()
    assert damage(content) != content
    path.write_bytes(damage(content))
    with pytest.raises(Unreadable), readable():
        read_archive(path)


def test_a_missing_archive_is_unreadable(path: Path) -> None:
    with pytest.raises(Unreadable, match="No such file"), readable():
        read_notes(path)


def test_pickled_objects_are_never_loaded(path: Path) -> None:
    path.parent.mkdir(parents=True)
    np.savez(path, notes=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(Unreadable, match="allow_pickle"), readable():
        read_notes(path)


def test_a_fault_without_words_is_named_by_its_kind() -> None:
    with pytest.raises(Unreadable, match=r"^OddFault$"), readable():
        raise type("OddFault", (Exception,), {})
