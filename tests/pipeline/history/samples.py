"""Values of the history with few words, for its tests; the manifest's tables as plain SQL shows them."""

import json
import sqlite3
from pathlib import Path

from pipeline.history.known_files import Hint, KnownFile, KnownSplit
from pipeline.preprocess.tasks import SplitResult
from pipeline.reading.header import Header
from pipeline.reading.splits import Split

HEADER = Header(",", ("log_id", "user_id"), {"log_id": 0, "user_id": 1}, 16, 2, 10.0)
HEADER_JSON = (
    '{"delimiter": ",", "names": ["log_id", "user_id"], "columns": {"log_id": 0, "user_id": 1}, "data_start": 16, '
    '"first_line": 2, "row_width": 10.0}'
)


def counts(lines: int = 3, handed_over: int = 2, rejected: int = 1, buckets: int = 2) -> str:
    """The stored result of a split: JSON with the names of ``SplitResult``."""
    reasons = {"field_count": rejected} if rejected else {}
    return json.dumps(
        {
            "start": 16, "stop": 100, "records": handed_over + rejected, "blank_lines": 0, "lines": lines,
            "duplicates": 0, "handed_over": handed_over, "bucket_rows": [handed_over] + [0] * (buckets - 1),
            "rejected_by_reason": reasons, "warned": {}, "undated": 0, "over_a_day": 0, "likely": {}, "text_bytes": 0,
        }
    )  # fmt: skip


def split_result(split: Split, *, handed_over: int = 2, rejected: int = 1) -> SplitResult:
    """The same counts as Phase 1 hands them over."""
    values = json.loads(counts(handed_over=handed_over, rejected=rejected))
    return SplitResult(split, **(values | {"bucket_rows": tuple(values["bucket_rows"])}))


def known_file(
    id_: int,
    path: Path | str,
    *,
    size: int = 100,
    mtime: int = 1,
    stable: bool = True,
    fingerprint: str = "settings",
    file_hash: str = "hash",
    shown: str = "",
    splits: tuple[KnownSplit, ...] = (),
    read_at: float = 0.0,
) -> KnownFile:
    """A file of the manifest; it is finished unless ``file_hash`` is empty."""
    hint = Hint(size, mtime, mtime, 7, stable)
    return KnownFile(
        id_, str(path), shown or str(path), hint, fingerprint, file_hash, size, HEADER_JSON, read_at, splits
    )


def query(folder: Path, statement: str) -> list[tuple]:
    """What an SQL statement finds in the manifest in ``folder``."""
    database = sqlite3.connect(folder / "manifest.sqlite")
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()
