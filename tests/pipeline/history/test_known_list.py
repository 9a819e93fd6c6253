"""Packed known files are the same again, take little memory, and can be chosen from."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.history import known_list
from pipeline.history.known_files import Hint, KnownFile, KnownSplit
from pipeline.history.known_list import FileIds, FilesByPath, KnownFiles
from tests.pipeline.history.samples import HEADER_JSON, counts, known_file


def made(count: int) -> Iterator[KnownFile]:
    """Files of which no two have the same times, hash or width of rows."""
    for n in range(count):
        splits = (
            KnownSplit(2 * n, 16, 100, True, counts(handed_over=n % 7)),
            KnownSplit(2 * n + 1, 100, 150, False, None),
        )
        hint = Hint(150, 2**60 + n, 2**60 - n, 2**64 - 1 - n, n % 2 == 0)
        yield replace(
            known_file(n + 1, f"/logs/of some length/{n:07}.csv", file_hash=f"{n:032x}", read_at=1.5 * n),
            hint=hint,
            header=HEADER_JSON.replace("10.0", repr(50 + n / 3)) if n % 5 else "",
            shown=f"{n:07}.csv" if n % 3 == 0 else f"/logs/of some length/{n:07}.csv",
            splits=splits if n % 4 else (),
        )


@pytest.mark.parametrize("shared", [10_000, 3])
def test_known_files_are_the_same_again(shared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_list, "_MOST_SHARED", shared)
    files = list(made(40))
    packed = KnownFiles(files)
    assert list(packed) == list(packed) == files
    assert (packed[3], packed[-1], list(packed[5:8])) == (files[3], files[-1], files[5:8])
    assert packed == files
    assert packed != files[:-1]
    assert list(packed.paths) == [file.path for file in files]


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"row_width": 3.50, "é": "007"}', "12", "a1b22,3", "\0", "a\0 1", "\u0661", "no JSON", "1" * 5000],
)
def test_any_text_in_the_place_of_a_header_or_counts_comes_back(text: str) -> None:
    file = replace(known_file(1, "/a"), header=text, splits=(KnownSplit(1, 0, 1, True, text or None),))
    assert list(KnownFiles([file])) == [file]


def test_files_are_chosen_by_id_and_by_what_they_are() -> None:
    files = list(made(9))
    packed = KnownFiles(files)
    some = packed.with_ids({2, 5, 99})
    assert list(some) == [files[1], files[4]]
    assert list(some.with_ids(FileIds([5]))) == [files[4]]
    assert list(packed.where(lambda file: not file.splits).ids) == [1, 5, 9]
    assert (some.path(1), list(some.ids)) == (files[4].path, [2, 5])
    found = FilesByPath(some, {"b": 1, "a": 0})
    assert found == {"a": files[1], "b": files[4]}
    assert list(found) == ["b", "a"]


def test_ids_are_a_set_of_numbers() -> None:
    ids = FileIds([5, 2, 9])
    assert (2 in ids, 3 in ids, 10 in ids, "2" in ids, list(ids), len(ids)) == (True, False, False, False, [2, 5, 9], 3)
    assert ids == {9, 5, 2} == ids
    assert ids != {9, 5}
    assert FileIds() == frozenset()


def test_a_known_file_takes_400_bytes_beside_its_path() -> None:
    """As objects one of these takes 1,900: it has a header and counts of its own, and two splits."""
    count = 5_000
    files = list(made(count))
    tracemalloc.start()
    packed = KnownFiles(files)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(packed) == count
    assert taken < 400 * count
