"""What every kernel must know about the run: plain values that cross to worker processes and Spark executors."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.exchange.id_index import FINE_BUCKET_BITS
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource, GeoTable
from pipeline.privacy import KeySource
from pipeline.reading.header import Names
from pipeline.reading.record_rules import BoundRule


@dataclass(frozen=True)
class Job:
    """Settings of one run as the kernels need them.

    ``buckets``: a power of two; ``bucket_rows``: most rows of a bucket that are worked on at once;
    ``file_rows``: rows of an output file; ``held_bytes``: a split whose rows take as much ends early;
    ``kernel``: the compiled parser, None where Polars parses everything;
    ``pseudonyms``: where the key is, if users get any; ``keep_raw``: whether the quarantine keeps the bytes of records.
    """

    workspace: Workspace
    version: str
    chunk_bytes: int
    max_record: int
    keep: str
    buckets: int
    bucket_rows: int
    file_rows: int
    compression: str
    geo_source: GeoSource
    held_bytes: int = 2**40
    kernel: str | None = None
    rules: tuple[BoundRule, ...] = ()
    pseudonyms: KeySource | None = None
    keep_raw: bool = True

    @property
    def bucket_shift(self) -> int:
        """How far to shift a fine bucket number to the right for its bucket."""
        return FINE_BUCKET_BITS - (self.buckets.bit_length() - 1)

    @property
    def library(self) -> Path | None:
        """The compiled code, where it is on this machine (an executor on another has none)."""
        return Path(self.kernel) if self.kernel and os.path.exists(self.kernel) else None

    def geo(self) -> GeoTable:
        """The geo table, loaded once per process."""
        return _geo(self.geo_source)


@lru_cache(maxsize=1)
def _geo(source: GeoSource) -> GeoTable:
    return source.load()


FORMAT = 3
"""Raise it with every change by which the same bytes become other values, counts or files of a split
(tests/pipeline/test_fingerprint.py notices)."""


def fingerprint(job: Job, columns: Names) -> str:
    """Hash of the settings that shape a split; ``columns``: accepted header names of the columns that are read."""
    decides = {
        "format": FORMAT,
        "columns": {role: list(names) for role, names in columns.items()},
        "max_record": job.max_record,
        "keep": job.keep,
        "geo": job.geo_source.digest,
        "rules": [asdict(rule) for rule in job.rules],
        "pseudonyms": job.pseudonyms.digest if job.pseudonyms else "",
        "keep_raw": job.keep_raw,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
