"""What extraction makes of a file: Parquet files of good rows and of rejected rows, and their counts.

Where personal values are hidden, these files have hidden values, and are all that is read of bronze. Beside each lies
one more, whose name begins with ``CLEAR``: it has the clear values of the same rows in the same order.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
import polars.selectors as cs

from pipeline.machine import writing
from pipeline.sources.contract import Contract
from pipeline.sources.forgotten import Forgotten, read_forgotten
from pipeline.sources.protection import Protection
from pipeline.sources.typed_rows import REJECTS
from pipeline.staging import staged

CLEAR = "clear-"
_REJECTS_AT_ONCE = 100_000


@dataclass(frozen=True)
class Extracted:
    """The rows of one file.

    ==============  ==============================================================
    ``rows``        good rows
    ``files``       names of the Parquet files in the folder that have them
    ``rejected``    how many rows were rejected, by reason
    ``rejects``     names of the Parquet files in the folder that have those
    ==============  ==============================================================
    """

    rows: int
    files: tuple[str, ...]
    rejected: dict[str, int] = field(default_factory=dict)
    rejects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """What extraction adds to each row: ``_source`` (its file), ``_extracted_at`` (naive UTC) and ``_run``."""

    source: str
    extracted_at: datetime
    run: str

    def add_to(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with these columns."""
        return rows.with_columns(
            pl.lit(self.source).alias("_source"),
            pl.lit(self.extracted_at, pl.Datetime("us")).alias("_extracted_at"),
            pl.lit(self.run).alias("_run"),
        )


@dataclass(frozen=True)
class Privacy:
    """What happens to the personal values of a source: how they are hidden, and who is forgotten."""

    protection: Protection = field(default_factory=Protection)
    forgotten: Forgotten = field(default_factory=Forgotten)


class ExtractWriter:
    """Writes the rows of one file of a source into ``folder``: good ones without forgotten people and with hidden
    personal values, and rejected ones. ``first``: number of the first file, where several writers share a folder."""

    def __init__(self, folder: Path, table: str, contract: type[Contract], privacy: Privacy, first: int = 0) -> None:
        self._first = first
        self.folder, self._table, self._contract, self._privacy = folder, table, contract, privacy
        self._rows = 0
        self._files: list[str] = []
        self._rejected: list[tuple[object, ...]] = []
        self._rejects: list[str] = []
        self._counts: Counter[str] = Counter()

    def add(self, rows: pl.DataFrame, *, hidden: bool = False) -> None:
        """Write stamped rows. ``hidden``: their personal values are hidden already."""
        kept = self._privacy.forgotten.remove_from(rows, self._contract)
        if not len(kept):
            return
        name = f"rows-{self._first + len(self._files):06d}.parquet"
        columns = self._privacy.protection.columns
        if columns and not hidden:  # of which a row that was extracted before may lack some
            _write(self.folder / f"{CLEAR}{name}", kept.select(cs.by_name(*columns, require_all=False)))
            kept = self._privacy.protection.hide(kept)
        _write(self.folder / name, kept)
        self._files.append(name)
        self._rows += len(kept)

    def hide(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with hidden personal values, as far as they have such columns."""
        return self._privacy.protection.hide(rows) if self._privacy.protection.columns else rows

    def reject(
        self, file: str, line: int, reason: str, column: str, value: str | None, raw: bytes | None,
        key: str | None = None,
    ) -> None:  # fmt: skip
        """Reject a row: its file and line (from 1), why, the column and its text, the bytes of the record, and its key
        with hidden values."""
        self._rejected.append((self._table, file, line, reason, column or None, value, key, raw))
        if len(self._rejected) == _REJECTS_AT_ONCE:
            self._write_rejected()

    def add_rejected(self, rejected: pl.DataFrame, *, hidden: bool = False) -> None:
        """Write rejected rows (``REJECTS``). ``hidden``: they have no values."""
        if not hidden:
            rejected = self._privacy.forgotten.remove_rejected(rejected, self._contract)
        if not len(rejected):
            return
        name = f"rejects-{self._first + len(self._rejects):04d}.parquet"
        if self._privacy.protection.columns and not hidden:
            _write(self.folder / f"{CLEAR}{name}", rejected)
            rejected = rejected.with_columns(value=pl.lit(None, pl.String), raw=pl.lit(None, pl.Binary))
        _write(self.folder / name, rejected)
        self._rejects.append(name)
        self._counts.update(dict(rejected.group_by("check").len().iter_rows()))

    def finish(self) -> Extracted:
        """What was written."""
        self._write_rejected()
        return Extracted(self._rows, tuple(self._files), dict(sorted(self._counts.items())), tuple(self._rejects))

    def _write_rejected(self) -> None:
        self.add_rejected(pl.DataFrame(self._rejected, schema=REJECTS, orient="row"))
        self._rejected.clear()


def open_writer(
    folder: Path, table: str, contract: type[Contract], protection: Protection, first: int = 0
) -> ExtractWriter:
    """A writer into a folder of bronze, which leaves out who is forgotten there. ``first``: number of its file."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return ExtractWriter(folder, table, contract, Privacy(protection, read_forgotten(folder.parents[1])), first)


def move_lines(folder: Path, rejects: Sequence[str], before: int) -> None:
    """Let the lines of rejected rows count on from ``before``, where so many rows of their table lie before them."""
    for path in (folder / f"{prefix}{name}" for name in rejects for prefix in ("", CLEAR)):
        if path.exists():
            _write(path, pl.read_parquet(path).with_columns(pl.col("line") + before))


TEXT_BYTES = "text_bytes"
"""In the footer of a file: bytes of all its texts, which no other figure there tells exactly."""


def size_facts(frame: pl.DataFrame) -> dict[str, str]:
    """What the footer of a file with these rows has besides."""
    return {TEXT_BYTES: str(text_bytes(frame))}


def text_bytes(frame: pl.DataFrame) -> int:
    """Bytes of all texts."""
    lengths = frame.select(cs.string().str.len_bytes().cast(pl.Int64).sum())
    return sum(lengths.row(0)) if lengths.width else 0


def _write(path: Path, frame: pl.DataFrame) -> str:
    place = staged(path)
    with writing(path):
        place.touch(mode=0o600)  # rows of sources are for the owner alone
        frame.write_parquet(place, compression="lz4", statistics=False, metadata=size_facts(frame))
    return path.name
