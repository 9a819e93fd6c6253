"""Counts the records that a log no longer has, of which other content counts now."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.id_index import FINE_MASK
from pipeline.exchange.workspace import Workspace, split_file
from pipeline.history.inventory import identity
from pipeline.history.known_files import KnownFile
from pipeline.preprocess.ledger import FileLedger

_MOST_ROWS = 20_000_000
"""Rows of a file whose ids are compared, which takes 16 bytes for each; of a larger one all records count as left."""


def count_left(
    replaced: Mapping[str, KnownFile], read: Iterable[FileLedger], workspace: Workspace
) -> dict[str, tuple[int, int]]:
    """By path of a replaced file that was read: (ids that it had, those of them that it has not now).

    ``replaced``: what counted under a path. ``read``: what was read now. Both still have their files in the store.
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
        old = _ids(workspace, (split.number for split in file.splits))
        new = _ids(workspace, (split.result.split.number for split in ledger.splits))
        left[path] = len(old), int(np.count_nonzero(np.isin(old, new, invert=True)))
    return left


def _ids(workspace: Workspace, splits: Iterable[int]) -> NDArray[np.uint64]:
    """The ids of splits without repetition: 54 bits of the hash of each."""
    paths = (workspace.path("index", split_file(number, "npy")) for number in splits)
    indexes = [np.load(path) & ~FINE_MASK for path in paths if Path(path).exists()]
    return np.unique(np.concatenate(indexes)) if indexes else np.empty(0, np.uint64)
