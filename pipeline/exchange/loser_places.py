"""Files of places of conflict losers: sorted arrays, so that those of some splits are read without the others.

Each file of the folder conflicts/ has some of them, and no two files the same place. A run that changes little links
the files of the run before, and adds one with what came.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.exchange.id_index import HEAD_BYTES, cut_index, read_key_range, read_keys, write_index
from pipeline.exchange.workspace import Workspace
from pipeline.machine import link_or_copy
from pipeline.staging import here

Places = NDArray[np.uint64]
"""Places of records (``exchange.row_files.PLACE_UNIT``)."""
NO_PLACES: Places = np.empty(0, np.uint64)
_ADDED = re.compile(r"added-([0-9]{6,})\.npy")
_SMALL_BYTES, _MOST_SMALL = 2**20, 64
"""Files of at most so many bytes are written together when they are more than so many."""
_BYTES_AT_ONCE = 32 * 2**20


def write_places(path: Path, places: pl.Series | Places) -> int:
    """Write places, in any order, as a sorted file, unless there are none; returns how many there are."""
    array = places.to_numpy().astype(np.uint64) if isinstance(places, pl.Series) else places
    if len(array):
        write_index(path, _sorted(array))
    return len(array)


def _sorted(places: Places) -> Places:
    """Places in order. They are pieces that are sorted already, which this kind of sorting merges."""
    return np.sort(places, kind="stable")


def place_files(workspace: Workspace) -> list[Path]:
    """The files of all losers of a run, by name."""
    return sorted(workspace.path("conflicts", "").glob("*.npy"))


def count_places(paths: Iterable[Path]) -> int:
    """How many places there are in files, by their sizes."""
    return sum((path.stat().st_size - HEAD_BYTES) // 8 for path in paths)


def read_places(paths: Sequence[Path], begin: int, stop: int) -> Places:
    """The places from ``begin`` to ``stop`` - 1 in ``paths``, sorted."""
    found = [read_key_range(path, begin, stop) for path in paths]
    return np.sort(np.concatenate([NO_PLACES, *found]))  # there are too many files for merging to be faster


def count_between(path: Path, bounds: Sequence[int]) -> NDArray[np.int64]:
    """How many places of a file lie between each two neighbours of ``bounds``."""
    counts: NDArray[np.int64] = np.diff(cut_index(path, bounds)) // 8
    return counts


def places_among(paths: Sequence[Path], places: Places) -> NDArray[np.bool_]:
    """Whether each of ``places``, which are sorted, is in one of the files."""
    if not len(places):
        return np.zeros(0, bool)
    begin, stop = int(places[0]), int(places[-1]) + 1
    paths = list(map(here, paths))
    cuts = [cut_index(path, [begin, stop]) for path in paths]
    if len(places) > 1 and sum(last - first for first, last in cuts) > _BYTES_AT_ONCE:
        half = len(places) // 2
        return np.concatenate([places_among(paths, places[:half]), places_among(paths, places[half:])])
    found = [read_keys(path, *cut) for path, cut in zip(paths, cuts, strict=True)]
    return _is_in(places, _sorted(np.concatenate([NO_PLACES, *found])))


def without_places(places: Places, gone: Places) -> Places:
    """Those of ``places`` that are not in ``gone``, which is sorted."""
    return places[~_is_in(places, gone)] if len(gone) else places


def _is_in(places: Places, others: Places) -> NDArray[np.bool_]:
    if not len(others):
        return np.zeros(len(places), bool)
    nearest = np.minimum(np.searchsorted(others, places), len(others) - 1)
    found: NDArray[np.bool_] = others[nearest] == places
    return found


def update_places(before: Sequence[Path], came: Sequence[Path], went: Sequence[Path], folder: Path) -> None:
    """Write to ``folder`` the files of the losers ``before``, without those that ``went``, and with those that
    ``came``. Files that stay as they are only get a second name; small ones are written together where they are many.
    """
    small = [path for path in before if path.stat().st_size <= _SMALL_BYTES]
    merged = set(small) if len(small) > _MOST_SMALL else set()
    added = _Added(folder, max((int(found[1]) for path in before if (found := _ADDED.fullmatch(path.name))), default=0))
    for path in came:
        added.add(_load(path))
    for path in before:
        if not went and path not in merged:
            link_or_copy(path, folder / path.name)
            continue
        places = kept = _load(path)
        for gone in went:
            kept = without_places(kept, _load(gone))
        if path in merged:
            added.add(kept)
        elif len(kept) == len(places):
            link_or_copy(path, folder / path.name)
        else:
            write_places(folder / path.name, kept)
    added.flush()


class _Added:
    """Writes places to new files of a folder, several arrays together where they are short."""

    def __init__(self, folder: Path, number: int) -> None:
        self._folder = folder
        self._number = number
        self._waiting: list[Places] = []

    def add(self, places: Places) -> None:
        self._waiting.append(places)
        if sum(map(len, self._waiting)) * 8 > _BYTES_AT_ONCE:
            self.flush()

    def flush(self) -> None:
        self._number += 1
        write_places(self._folder / f"added-{self._number:06d}.npy", np.concatenate([NO_PLACES, *self._waiting]))
        self._waiting = []


def _load(path: Path) -> Places:
    places: Places = np.load(path)
    return places
