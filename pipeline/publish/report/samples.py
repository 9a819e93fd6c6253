"""Samples of rejected records for a page that outlives the quarantine and that more people see: shapes, not texts."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

_EACH = 3
_SHAPE_LENGTH = 100
_ROW_GROUPS = 200
"""Row groups that are looked through at most; reasons that occur first beyond them have no sample."""
_HARMLESS = {"nan", "inf", "infinity", "null", "none", "n/a", "true", "false", ""}


@dataclass(frozen=True)
class Sample:
    """Where a rejected record stands, the column that is wrong (if one is), and the masked value or record."""

    file: str
    line: int
    column: str
    shape: str


def find_samples(rejected: Path, counts: Mapping[str, int]) -> dict[str, list[Sample]]:
    """Up to three samples of each reason in ``counts`` from ``rejected.parquet``, the first in it."""
    found: dict[str, list[Sample]] = {reason: [] for reason in counts}
    wanted = {reason: min(count, _EACH) for reason, count in counts.items()}
    file = pq.ParquetFile(rejected)
    for number in range(min(file.num_row_groups, _ROW_GROUPS)):
        reasons = file.read_row_group(number, ["reason"])["reason"].to_pylist()
        places = []
        for place, reason in enumerate(reasons):
            if wanted.get(reason, 0):
                wanted[reason] -= 1
                places.append(place)
        if places:
            rows = file.read_row_group(number).take(places).to_pylist()
            for row in rows:
                text = row["value"] if row["column"] else (row["raw"] or b"").decode("utf-8", "replace")
                found[row["reason"]].append(Sample(row["file"], row["line"], row["column"] or "", shape(text or "")))
        if not any(wanted.values()):
            break
    return found


def shape(text: str) -> str:
    """``text`` with every letter as ``x`` and every digit as ``9``, cut; words such as NaN and null stay."""
    if text.lower() in _HARMLESS:
        return text
    cut = text[:_SHAPE_LENGTH]
    masked = "".join("x" if char.isalpha() else "9" if char.isalnum() else char for char in cut)
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in masked)
    return shown + ("…" if len(text) > _SHAPE_LENGTH else "")
