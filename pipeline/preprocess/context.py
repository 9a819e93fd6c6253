"""The settings that the kernels of Phase 1 need, and the fingerprint of those that decide what becomes of a file."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.exchange.id_index import bucket_shift
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoSource, GeoTable
from pipeline.native.library import UsesLibrary
from pipeline.privacy import KeySource
from pipeline.reading.column_names import Names
from pipeline.reading.record_rules import BoundRule
from pipeline.reading.value_formats import USUAL_FORMATS, ValueFormats

if TYPE_CHECKING:
    from pipeline.reading.later_headers import HeaderFinder

FORMAT = 4
"""Version of what Phase 1 makes of a split. Raise it with every change by which the same bytes become other values,
counts or files; tests/pipeline/preprocess/test_context.py fails where that was forgotten."""


@dataclass(frozen=True)
class ReadContext(UsesLibrary):
    """Settings of Phase 1 as plain values that cross to worker processes and Spark executors.

    ========================  ==========================================================================
    ``workspace``             where the files of splits are written
    ``chunk_bytes``           bytes that are parsed at a time
    ``max_record``            longest record, in bytes
    ``keep``                  DEDUPE_KEEP: longest, first or last
    ``buckets``               a power of two
    ``geo_source``            recipe of the geo table
    ``held_bytes``            most memory for the rows of one split; a split that has more ends early
    ``library_path``          the compiled library; None where Polars parses everything
    ``rules``                 the user's rules for records
    ``pseudonyms``            where the key is; None where users keep their ids
    ``keep_raw``              whether the quarantine keeps the bytes of records
    ``formats``               how values are written
    ``wanted``                role → accepted header names, of the columns that a header must have
    ``optional``              role → accepted header names, of the columns that a header may lack
    ========================  ==========================================================================
    """

    workspace: Workspace
    chunk_bytes: int
    max_record: int
    keep: str
    buckets: int
    geo_source: GeoSource
    held_bytes: int = 2**40
    library_path: str | None = None
    rules: tuple[BoundRule, ...] = ()
    pseudonyms: KeySource | None = None
    keep_raw: bool = True
    formats: ValueFormats = USUAL_FORMATS
    wanted: Names = field(default_factory=dict)
    optional: Names = field(default_factory=dict)

    @property
    def headers(self) -> "HeaderFinder | None":
        """Finds headers among the records; None where nobody says what a header must have."""
        from pipeline.reading.later_headers import HeaderFinder  # a run that finds nothing new looks for none

        return HeaderFinder(self.wanted, self.optional) if self.wanted else None

    @property
    def bucket_shift(self) -> int:
        """How many bits to shift a fine bucket number to the right for its bucket."""
        return bucket_shift(self.buckets)

    def geo(self) -> GeoTable:
        """The geo table, loaded once per process."""
        return _geo(self.geo_source)


@lru_cache(maxsize=1)
def _geo(source: GeoSource) -> GeoTable:
    return source.load()


def fingerprint(
    columns: Names,
    *,
    max_record: int,
    keep: str,
    geo_digest: str,
    rules: Sequence[BoundRule],
    pseudonyms: KeySource | None,
    keep_raw: bool,
    formats: ValueFormats,
    headless: Sequence[str] = (),
) -> str:
    """Hash the settings that decide what becomes of a file, as 32 hex digits.

    Splits of earlier runs are used again only under the same fingerprint. ``columns``: for each role, the header names
    that are accepted. ``geo_digest``: of the geo table's source and rules. ``headless``: columns of files without a
    header.
    """
    settings: dict[str, object] = {
        "format": FORMAT,
        "columns": {role: list(names) for role, names in columns.items()},
        "max_record": max_record,
        "keep": keep,
        "geo": geo_digest,
        "rules": [asdict(rule) for rule in rules],
        "pseudonyms": pseudonyms.digest if pseudonyms else "",
        "keep_raw": keep_raw,
        **_unusual(formats),
    }
    if headless:
        settings["headless"] = list(headless)
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:32]


def _unusual(formats: ValueFormats) -> dict[str, object]:
    """The settings of values that are not the default: a new setting leaves the fingerprint of the others as it is."""
    usual = asdict(USUAL_FORMATS)
    return {f"format of {name}": value for name, value in asdict(formats).items() if value != usual[name]}
