"""Samples of rejected records for the report.

The report outlives the quarantine, and more people see it: it has the shape of a text, never the text.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

_SAMPLES_OF_REASON = 3
_SHAPE_LENGTH = 100
_MAX_ROW_GROUPS = 200
"""Row groups that are searched; a reason that does not occur in them has no sample."""
_NOT_PERSONAL = {"nan", "inf", "infinity", "null", "none", "n/a", "true", "false", ""}


@dataclass(frozen=True)
class Sample:
    """A rejected record: its file and line, the column of a value that is wrong (or empty), and a masked text.

    ``shape``: of that value, or else of the record.
    """

    file: str
    line: int
    column: str
    shape: str


def find_samples(rejected: Path, counts: Mapping[str, int]) -> dict[str, list[Sample]]:
    """The first three samples of each reason in the file ``rejected``, by reason.

    ``counts``: how many records of each reason there are, so that the search can end early.
    """
    found: dict[str, list[Sample]] = {reason: [] for reason in counts}
    wanted = {reason: min(count, _SAMPLES_OF_REASON) for reason, count in counts.items()}
    file = pq.ParquetFile(rejected)
    for number in range(min(file.num_row_groups, _MAX_ROW_GROUPS)):
        reasons = file.read_row_group(number, ["reason"])["reason"].to_pylist()
        positions = []
        for position, reason in enumerate(reasons):
            if wanted.get(reason, 0):
                wanted[reason] -= 1
                positions.append(position)
        if positions:
            rows = file.read_row_group(number).take(positions).to_pylist()
            for row in rows:
                text = row["value"] if row["column"] else (row["raw"] or b"").decode("utf-8", "replace")
                found[row["reason"]].append(Sample(row["file"], row["line"], row["column"] or "", shape(text or "")))
        if not any(wanted.values()):
            break
    return found


def shape(text: str) -> str:
    """``text`` with x for every letter and 9 for every digit, cut to 100 characters. Words like NaN and null stay."""
    if text.lower() in _NOT_PERSONAL:
        return text
    masked = "".join("x" if char.isalpha() else "9" if char.isalnum() else char for char in text[:_SHAPE_LENGTH])
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in masked)
    return printable + ("…" if len(text) > _SHAPE_LENGTH else "")
