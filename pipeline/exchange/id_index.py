"""Id indexes: the sorted ids of one split, each with its bucket (docs/decisions/004).

A key is one uint64: the leading 54 bits of id_hi (the *prefix* of the id), then the 10 bits of the fine bucket. Its
file is a .npy file.
"""

import errno
import os
from collections.abc import Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.workspace import write_array
from pipeline.faults import point
from pipeline.staging import staged

HEAD_BYTES = 128
"""What comes before the first key of a file, and of any array of one dimension (numpy.lib.format)."""
_MAGIC = b"\x93NUMPY\x01\x00"
FINE_BUCKET_BITS = 10
"""The index names buckets this finely, whatever number of buckets a run uses (at most 2^10)."""
FINE_MASK = np.uint64((1 << FINE_BUCKET_BITS) - 1)
"""The bits of a key that name the fine bucket."""


def write_index(path: Path, ordered: NDArray[np.uint64]) -> None:
    """Write the sorted keys of a split; the file has its name only when it is whole."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    write_array(partial, ordered)
    point("intermediate.rename")
    partial.replace(path)


def cut_index(path: Path, bounds: Sequence[int]) -> list[int]:
    """Find, for each bound (0 to 2^64), the byte of the file where the keys begin that are not less than the bound."""
    # np.load takes a tenth of a millisecond for the head alone, and there may be very many files.
    inner = np.array([bound for bound in bounds if bound < 2**64], np.uint64)
    with path.open("rb") as stream, mmap(stream.fileno(), 0, access=ACCESS_READ) as mapped:
        if mapped[: len(_MAGIC)] != _MAGIC or len(mapped) % 8:
            raise _damaged(path)
        keys = np.frombuffer(mapped, np.uint64, offset=HEAD_BYTES)
        count, positions = len(keys), np.searchsorted(keys, inner).tolist()
        del keys  # the map cannot be closed before
    return [HEAD_BYTES + 8 * position for position in (*positions, *[count] * (len(bounds) - len(inner)))]


def read_keys(path: Path, begin: int, stop: int) -> NDArray[np.uint64]:
    """Read the keys in bytes ``begin`` to ``stop`` of an index file. Raises OSError where the file ends before."""
    keys = np.empty((stop - begin) // 8, np.uint64)
    with path.open("rb", buffering=0) as stream:
        stream.seek(begin)
        if stream.readinto(keys.data) < keys.nbytes:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
    return keys


_SMALL_BYTES = 1 << 13
"""An index of fewer bytes is read at once: there may be very many."""


def read_key_range(path: Path, low: int, stop: int) -> NDArray[np.uint64]:
    """Read the keys of an index file from ``low`` to below ``stop`` (0 to 2^64)."""
    with path.open("rb", buffering=0) as stream:
        beginning = stream.read(_SMALL_BYTES)
    if len(beginning) == _SMALL_BYTES:
        return read_keys(path, *cut_index(path, [low, stop]))
    if beginning[: len(_MAGIC)] != _MAGIC or len(beginning) % 8:
        raise _damaged(path)
    keys = np.frombuffer(beginning, np.uint64, offset=HEAD_BYTES)
    first = keys.searchsorted(np.uint64(low))
    return keys[first : keys.searchsorted(np.uint64(stop)) if stop < 2**64 else len(keys)]


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{str(path)!r} is damaged: it is no array of keys")


def keys_with_prefixes(index: NDArray[np.uint64], prefixes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The keys of a sorted index that have one of ``prefixes`` (54 bits, then 0; sorted, distinct), sorted."""
    first = np.searchsorted(index, prefixes, side="left")
    counts = np.searchsorted(index, prefixes | FINE_MASK, side="right") - first
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.array(index[np.repeat(first, counts) + offsets])


def bucket_shift(buckets: int) -> int:
    """How many bits to shift a fine bucket number to the right for its bucket of ``buckets`` (a power of two)."""
    return FINE_BUCKET_BITS - (buckets.bit_length() - 1)
