"""Where the row groups lie in the footer of a Parquet file."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.compiled.library import load


def find_row_groups(library: Path, footer: bytes, groups: int) -> NDArray[np.int64] | None:
    """Positions in ``footer``: of the header of its list of ``groups`` row groups, of the first byte of each, and of
    the end of the last. None where it is not such a footer."""
    positions = np.empty(groups + 2, np.int64)
    found = load(library).find_row_groups(footer, len(footer), positions.ctypes.data, len(positions))
    return positions if found == groups else None
