"""The order of the tasks of Phase 1, and which of them go together."""

from typing import Any

import pytest

from pipeline.preprocess.tasks import ReadTask, group, read_tasks
from pipeline.reading.archives import Expanded
from pipeline.reading.input_files import InputFile
from pipeline.reading.splits import Split


def file_of(path: str, size: int, *, expanded: bool = False) -> InputFile:
    return InputFile(path, (size, 0, 0), None, Expanded("spool", size, (1, 0, 0), "hash") if expanded else None)


def splits_of(path: str, first: int, *sizes: int) -> list[Split]:
    """Splits of so many bytes each."""
    header: Any = None
    bounds = [sum(sizes[:n]) for n in range(len(sizes) + 1)]
    return [Split(first + n, path, bounds[-1], bounds[n], bounds[n + 1], True, header) for n in range(len(sizes))]


def plan(files: list[InputFile], splits: dict[str, list[Split]], done: set[int] = frozenset()) -> list[tuple]:  # type: ignore[assignment]
    """(path, number of the split, bytes that are hashed) of each task."""
    results: Any = dict.fromkeys(done)
    return [
        (task.path, task.split.number if task.split else None, task.hashed)
        for task in read_tasks(files, splits, results)
    ]


def test_files_of_large_splits_come_first_and_are_hashed_amid_them() -> None:
    files = [file_of("small", 5), file_of("large", 300), file_of("middle", 90)]
    splits = {
        "small": splits_of("small", 0, 5),
        "large": splits_of("large", 1, 100, 100, 100),
        "middle": splits_of("middle", 4, 90),
    }
    assert plan(files, splits) == [
        ("large", 1, None),
        ("large", None, 300),
        ("large", 2, None),
        ("large", 3, None),
        ("middle", 4, 90),
        ("small", 0, 5),
    ]


def test_what_is_done_is_not_read_again_but_its_file_is_hashed() -> None:
    files = [file_of("a", 30), file_of("b", 20)]
    splits = {"a": splits_of("a", 0, 10, 10, 10), "b": splits_of("b", 3, 10, 10)}
    assert plan(files, splits, {0, 2, 3, 4}) == [("a", 1, 30), ("b", None, 20)]


def test_an_empty_file_is_hashed_and_an_expanded_one_is_not() -> None:
    files = [file_of("empty", 0), file_of("zip", 9, expanded=True)]
    assert plan(files, {"empty": [], "zip": splits_of("zip", 0, 9)}) == [("zip", 0, None), ("empty", None, 0)]


def tasks(*sizes: int) -> list[ReadTask]:
    """Tasks of so many bytes each."""
    return [ReadTask(f"f{n}", *splits_of(f"f{n}", n, size), size) for n, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([], []),
        ([9 << 20], [1]),
        ([9 << 20, 1, 1], [1, 2]),
        ([3 << 20, 2 << 20, 1 << 20, 1 << 20], [1, 3]),
        ([1 << 20] * 9, [4, 4, 1]),
        ([10] * 33, [16, 16, 1]),
    ],
)
def test_small_tasks_go_together_in_order(sizes: list[int], lengths: list[int]) -> None:
    single = tasks(*sizes)
    found = group(single)
    assert [task for grouped in found for task in grouped] == single
    assert list(map(len, found)) == lengths


def test_very_many_small_tasks_make_larger_groups_and_still_many() -> None:
    assert {len(grouped) for grouped in group(tasks(*[1] * 1024))} == {16}
    assert {len(grouped) for grouped in group(tasks(*[1] * 2560))} == {40}
    assert {len(grouped) for grouped in group(tasks(*[1] * 6400))} == {64}
