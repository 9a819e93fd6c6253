"""Counts the records that a log no longer has, of which other content counts now."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.id_index import FINE_MASK
from pipeline.history.inventory import identity
from pipeline.history.known_files import KnownFile
from pipeline.preprocess.ledger import FileLedger

_MOST_ROWS = 20_000_000
"""Rows of a file whose ids are compared, which takes 16 bytes for each; of a larger one all records count as left."""


def count_left(
    replaced: Mapping[str, KnownFile], read: Iterable[FileLedger], index_of: Callable[[int], Path]
) -> dict[str, tuple[int, int]]:
    """By path of a replaced file that was read: (ids that it had, those of them that it has not now).

    ``replaced``: what counted under a path. ``read``: what was read now. Both still have their files in the store;
    ``index_of`` finds the id index of a split there.
    """
    if not replaced:
        return {}
    wanted = set(map(identity, replaced))
    found = ((identity(ledger.file.path), ledger) for ledger in read)
    ledgers = {path: ledger for path, ledger in found if path in wanted}
    left: dict[str, tuple[int, int]] = {}
    for path, file in replaced.items():
        ledger = ledgers.get(identity(path))
        if not ledger or not file.finished:
            continue
        before = file.handed_over
        if max(before, ledger.handed_over) > _MOST_ROWS:
            left[path] = before, before
            continue
        old = _ids(index_of(split.number) for split in file.splits)
        new = _ids(index_of(split.result.split.number) for split in ledger.splits)
        left[path] = len(old), int(np.count_nonzero(np.isin(old, new, invert=True)))
    return left


def _ids(paths: Iterable[Path]) -> NDArray[np.uint64]:
    """The ids of splits without repetition: 54 bits of the hash of each. ``paths``: of their id indexes."""
    indexes = [np.load(path) & ~FINE_MASK for path in paths if path.exists()]
    return np.unique(np.concatenate(indexes)) if indexes else np.empty(0, np.uint64)
