"""Id indexes: the sorted ids of one split, each with its bucket (docs/decisions/004).

A key is one uint64: the leading 54 bits of id_hi (the *prefix* of the id), then the 10 bits of the fine bucket. Its
file is a .npy file.
"""

import errno
import io
import os
from collections.abc import Iterable, Sequence
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.exchange.workspace import array_head, write_array
from pipeline.faults import point
from pipeline.machine import writing
from pipeline.staging import ranges_of, staged

HEAD_BYTES = 128
"""What comes before the first key of a file, and of any array of one dimension (numpy.lib.format)."""
_MAGIC = b"\x93NUMPY\x01\x00"
FINE_BUCKET_BITS = 10
"""The index names buckets this finely, whatever number of buckets a run uses (at most 2^10)."""
FINE_MASK = np.uint64((1 << FINE_BUCKET_BITS) - 1)
"""The bits of a key that name the fine bucket."""


def key_ranges(count: int) -> list[tuple[int, int]]:
    """(Lowest, highest) key of ``count`` ranges of equal width, which together have all keys."""
    bounds = [number * ((1 << 64) // count) for number in range(count)]
    return [(low, high - 1) for low, high in zip(bounds, [*bounds[1:], 1 << 64], strict=True)]


def write_index(path: Path, ordered: NDArray[np.uint64]) -> None:
    """Write the sorted keys of a split; the file has its name only when it is whole."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    write_array(partial, ordered)
    point("intermediate.rename")
    partial.replace(path)


def write_joined(path: Path, pieces: Iterable[NDArray[np.uint64]]) -> None:
    """Write sorted keys that come in pieces, one behind the other, as ``write_index`` does."""
    path = staged(path)
    partial = path.with_suffix(".partial")
    with writing(partial), partial.open("wb") as stream:
        stream.write(bytes(HEAD_BYTES))
        for piece in pieces:
            stream.write(piece.data)
        count = (stream.tell() - HEAD_BYTES) // 8
        stream.seek(0)
        stream.write(array_head(np.dtype(np.uint64).str, (count,)))
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
    if stream := ranges_of(path):
        with stream:
            return _KeyObject(path, stream).between(low, stop)
    with path.open("rb", buffering=0) as stream:
        beginning = stream.read(_SMALL_BYTES)
    if len(beginning) == _SMALL_BYTES:
        return read_keys(path, *cut_index(path, [low, stop]))
    if beginning[: len(_MAGIC)] != _MAGIC or len(beginning) % 8:
        raise _damaged(path)
    keys = np.frombuffer(beginning, np.uint64, offset=HEAD_BYTES)
    return keys[_position_in(keys, low) : _position_in(keys, stop)]


_WINDOW = 4096
"""Of hashes, a key stands within so many of where its value lets it be expected: 8 standard deviations of a million."""


class _KeyObject:
    """An index file on object storage, each read of which is a request."""

    def __init__(self, path: Path, stream: io.RawIOBase) -> None:
        self._path, self._stream = path, stream
        size = stream.seek(0, os.SEEK_END)
        if size < HEAD_BYTES or size % 8:
            raise _damaged(path)
        self._count = (size - HEAD_BYTES) // 8

    def between(self, low: int, stop: int) -> NDArray[np.uint64]:
        """The keys from ``low`` to below ``stop``."""
        guess = [self._count * bound >> 64 for bound in (low, stop)]
        first, last = max(0, guess[0] - _WINDOW), min(self._count, guess[1] + _WINDOW)
        keys = self._read(first, last)
        if (not first or keys[0] < low) and (last == self._count or keys[-1] >= stop):
            return keys[_position_in(keys, low) : _position_in(keys, stop)]
        return self._read(self._position(low), self._position(stop))

    def _position(self, bound: int) -> int:
        """How many keys are less than ``bound``. Most keys are hashes, so that it tells where to look."""
        if bound >= 2**64:
            return self._count
        first, last, least, most = 0, self._count, 0, 2**64
        halve = False
        while first < last:
            share = (last - first) // 2 if halve else (bound - least) * (last - first) // (most - least)
            begin = max(first, min(first + share - _WINDOW, last - 2 * _WINDOW))
            keys = self._read(begin, min(begin + 2 * _WINDOW, last))
            found = begin + _position_in(keys, bound)
            if first < found == begin:
                last, most = begin, int(keys[0])
            elif found == begin + len(keys) < last:
                first, least = found, int(keys[-1])
            else:
                return found
            halve = not halve  # keys that are no hashes may lie anywhere
        return first

    def _read(self, first: int, last: int) -> NDArray[np.uint64]:
        self._stream.seek(HEAD_BYTES + 8 * first)
        keys = np.empty(last - first, np.uint64)
        rest = keys.view(np.uint8).data
        while rest:
            count = self._stream.readinto(rest)
            if not count:
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(self._path))
            rest = rest[count:]
        return keys


def _position_in(keys: NDArray[np.uint64], bound: int) -> int:
    return int(keys.searchsorted(np.uint64(bound))) if bound < 2**64 else len(keys)


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
