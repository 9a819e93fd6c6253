"""Id indexes: the sorted ids of one split, each with its bucket."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.workspace import save_array
from pipeline.faults import point

FINE_BUCKET_BITS = 10
"""The index names buckets this finely, whatever number of buckets a run uses (at most 2^10)."""
FINE_MASK = np.uint64((1 << FINE_BUCKET_BITS) - 1)


def write_index(path: Path, ordered: NDArray[np.uint64]) -> None:
    """Write a sorted id index: the leading 54 bits of id_hi, then the 10 bits of the fine bucket, one uint64 an id."""
    partial = path.with_suffix(".partial")
    save_array(partial, ordered)
    point("intermediate.rename")
    partial.replace(path)


def cut_index(path: Path, bounds: Sequence[int]) -> list[int]:
    """Where in the file of a sorted id index those keys begin that are not less than each of ``bounds`` (to 2^64)."""
    index = np.load(path, mmap_mode="r")
    inner = np.array([bound for bound in bounds if bound < 2**64], np.uint64)
    places = [*np.searchsorted(index, inner).tolist(), *[len(index)] * (len(bounds) - len(inner))]
    return [index.offset + index.itemsize * place for place in places]


def read_keys(path: Path, begin: int, stop: int) -> NDArray[np.uint64]:
    """The keys in some bytes of the file of an index."""
    keys = np.empty((stop - begin) // 8, np.uint64)
    with path.open("rb", buffering=0) as stream:
        stream.seek(begin)
        if stream.readinto(keys.data) < keys.nbytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return keys


def keys_with_prefixes(index: NDArray[np.uint64], prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The keys of a sorted id index that begin with one of ``prefixes`` (54 bits, sorted, distinct), sorted."""
    first = np.searchsorted(index, prefixes, side="left")
    counts = np.searchsorted(index, prefixes | FINE_MASK, side="right") - first
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.array(index[np.repeat(first, counts) + offsets])


def bucket_shift(buckets: int) -> int:
    """How far to shift a fine bucket number to the right for its bucket of ``buckets`` (a power of two)."""
    return FINE_BUCKET_BITS - (buckets.bit_length() - 1)
