"""Room on the disk for the intermediate files of a run."""

import shutil
from collections.abc import Sequence

from pipeline.errors import EnvironmentFault
from pipeline.reading.input_files import InputFile
from utils.units import format_size

INTERMEDIATE_SHARE = 0.6
"""Intermediate files and totals take about this share of a usual input,"""
_ROW_BYTES = 60
"""and as much of a row, however short its text is."""


def check_disk(folder: str, files: Sequence[InputFile]) -> None:
    """Raises EnvironmentFault where ``folder`` has no room for the intermediate files of this input."""
    need = int(sum(max(file.size * INTERMEDIATE_SHARE, file.expected_rows * _ROW_BYTES) for file in files))
    free = shutil.disk_usage(folder).free
    if free < need:
        raise EnvironmentFault(
            f"{folder!r} has {format_size(free)} free; this input needs about {format_size(need)}. "
            "Free some room, or name a folder on another disk with --intermediate."
        )
