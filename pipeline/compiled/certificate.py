"""The certificate of a chunk: the field ends are what the chunk says, as the independent scanner sees it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline import scanner
from pipeline.compiled.library import load


def certify(
    library: Path, data: bytes, size: int, delimiter: int, fields: int, separators: NDArray[np.int32], max_record: int
) -> bool:
    """What ``scanner.confirm`` says of the first ``size`` bytes of ``data``; without quotes scanner.c says the same,
    several times as fast."""
    if data.find(b'"', 0, size) >= 0:
        return scanner.confirm(data[:size], delimiter, fields, separators, max_record)
    if not (data.isascii() or scanner.is_utf8(data[:size])):
        return False
    ends = np.ascontiguousarray(separators)
    return bool(load(library).certify(data, size, delimiter, fields, ends.ctypes.data, len(ends), max_record))
