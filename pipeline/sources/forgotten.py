"""Who is forgotten: a list of keyed hashes beside the rows of sources, by which rows of forgotten people are dropped.

The list outlives the people's rows, because their source files may be extracted again. Its key is made of chance and
lies beside it, for the owner alone: without the key, the list does not tell who is in it.
"""

import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from pipeline.machine import sync
from pipeline.sources.contract import Contract

_BETWEEN_FIELDS = re.compile(r"[,;|\t\r\n\"]+")
KEY_FILE, LIST_FILE = "forgotten.key", "forgotten.json"
SHARED_FILES = (KEY_FILE, LIST_FILE)
"""What all machines that publish at one place need to know, the key first."""


@dataclass(frozen=True)
class Forgotten:
    """The people who are forgotten, by hashes (hexadecimal HMAC-SHA-256) of their ids as text."""

    hashes: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)

    def is_in(self, rows: pl.DataFrame, contract: type[Contract]) -> bool:
        """Whether rows tell of one of the people."""
        return not self.remove_from(rows, contract).equals(rows, null_equal=True)

    def remove_rejected(self, rejected: pl.DataFrame, contract: type[Contract]) -> pl.DataFrame:
        """Rejected records without those that have the id of one of the people in any field.

        Those without bytes (of Parquet) do not tell whose they are: they lose their value.
        """
        if not self.hashes or not any(column.forget for column in contract.columns.values()):
            return rejected
        kept = rejected.filter(pl.Series([not self._is_named_in(raw) for raw in rejected["raw"]], dtype=pl.Boolean))
        return kept.with_columns(value=pl.when(pl.col("raw").is_not_null()).then(pl.col("value")))

    def _is_named_in(self, raw: bytes | None) -> bool:
        fields = _BETWEEN_FIELDS.split((raw or b"").decode("utf-8", "replace"))
        return any(self.has(text.strip()) for text in fields if text.strip())

    def has(self, value: str) -> bool:
        """Whether this is the id of a forgotten person."""
        return hmac.digest(self.key, value.encode(), "sha256").hex() in self.hashes

    def remove_from(self, rows: pl.DataFrame, contract: type[Contract]) -> pl.DataFrame:
        """The rows without the people: as ``forget`` of the columns says, rows go or values become null."""
        if not self.hashes:
            return rows
        for name, column in contract.columns.items():
            if not column.forget:
                continue
            ids = rows[name].unique().drop_nulls()
            gone = ids.filter(pl.Series([self.has(str(value)) for value in ids], dtype=pl.Boolean))
            if not len(gone):
                continue
            found = pl.col(name).is_in(gone.implode())
            if column.forget == "row":
                rows = rows.filter(~found.fill_null(False))
            else:
                rows = rows.with_columns(pl.when(~found).then(pl.col(name)).alias(name))
        return rows


def read_forgotten(folder: Path) -> Forgotten:
    """The people who are forgotten in a folder of extracts."""
    if not (folder / LIST_FILE).exists():
        return Forgotten()
    hashes = json.loads((folder / LIST_FILE).read_text(encoding="utf-8"))
    return Forgotten(frozenset(hashes), own_key(folder / KEY_FILE))


def remember(folder: Path, ids: Iterable[str]) -> Forgotten:
    """Add people to the list of a folder. Returns the whole list."""
    key = own_key(folder / KEY_FILE)
    hashes = {hmac.digest(key, value.encode(), "sha256").hex() for value in ids}
    known = Forgotten(read_forgotten(folder).hashes | hashes, key)
    fresh = folder / f".{LIST_FILE}"
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(sorted(known.hashes)), encoding="utf-8")
    sync(fresh)
    fresh.replace(folder / LIST_FILE)
    sync(folder)
    return known


def own_key(path: Path) -> bytes:
    """The key in a file, without its line end; where there is none, one of chance is made that its owner alone may
    read."""
    if not path.exists():
        fresh = path.with_name(f".{path.name}")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(32), encoding="ascii")
        sync(fresh)
        fresh.replace(path)
        sync(path.parent)
    return path.read_bytes().removesuffix(b"\n")
