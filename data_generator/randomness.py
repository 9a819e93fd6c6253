"""Random numbers as a pure function of (seed, stream, number): any row can be computed at any time, in any process.

The function is splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Integers
only, so that every machine makes the same bytes.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = 2**64 - 1


def stream_key(seed: int, stream: int) -> int:
    """Derive the 64-bit key of one stream of random words from the seed."""
    value = _finish((seed + _GOLDEN) & _MASK)
    return _finish((value + stream * _GOLDEN) & _MASK)


def random_words(numbers: Words, key: int) -> Words:
    """One random 64-bit word per number; different numbers give different words."""
    words = numbers * np.uint64(_GOLDEN)
    words += np.uint64(key)
    words ^= words >> np.uint64(30)
    words *= np.uint64(_FIRST)
    words ^= words >> np.uint64(27)
    words *= np.uint64(_SECOND)
    words ^= words >> np.uint64(31)
    return words


def scale(words: Words, limit: int | Words) -> Words:
    """Map words to whole numbers from 0 to ``limit - 1`` by their upper 32 bits; ``limit`` is at most 2^32."""
    return ((words >> np.uint64(32)) * np.asarray(limit, dtype=np.uint64)) >> np.uint64(32)


def bits(words: Words, shift: int, count: int) -> Words:
    """``count`` bits of each word, from bit ``shift`` on."""
    return (words >> np.uint64(shift)) & np.uint64((1 << count) - 1)


def _finish(value: int) -> int:
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)
