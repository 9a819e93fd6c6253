"""The settings of a run, checked and resolved: columns, rules, key, geo table, library, and the kernels' contexts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.aggregate.context import AggregateContext
from pipeline.exchange.workspace import Workspace
from pipeline.geo.table import GeoTable, load_geo_table
from pipeline.machine import cache_folder
from pipeline.native.build import compile_library
from pipeline.planning.planner import Sizes
from pipeline.planning.recorded_settings import record_settings
from pipeline.preprocess.context import ReadContext, fingerprint
from pipeline.privacy import KeySource, find_key
from pipeline.reading.column_names import Names
from pipeline.reading.open_inputs import HeaderRules
from pipeline.reading.record_rules import BoundRule, bind_rules, rule_columns
from pipeline.reading.value_formats import ValueFormats, formats_of


@dataclass(frozen=True)
class Library:
    """The compiled library. ``path``: None where there is none; ``why_not``: why there is none, if one was wanted."""

    path: Path | None
    why_not: str = ""

    @property
    def location(self) -> str | None:
        """``path`` as the contexts of kernels have it."""
        return str(self.path) if self.path else None


@dataclass(frozen=True)
class RunSettings:
    """Settings of which rules and key are valid.

    ==============  ==============================================================
    ``columns``     accepted header names of the columns that are read, by role
    ``rules``       the user's rules for records, with their columns
    ``pseudonyms``  where the key is; None where users keep their ids
    ==============  ==============================================================
    """

    config: Config
    columns: Names
    rules: tuple[BoundRule, ...]
    pseudonyms: KeySource | None

    @property
    def compilable(self) -> bool:
        """Whether the compiled parser may read; rules, pseudonyms and rare formats need the other one."""
        needs_texts = self.rules or self.config.PSEUDONYMIZE_USERS or self.config.LOG_ID_COLUMNS
        return self.config.COMPILED_PARSER and not needs_texts and self.formats.compilable

    @property
    def formats(self) -> ValueFormats:
        """How the values of records are written."""
        return formats_of(vars(self.config))

    @property
    def keep_raw(self) -> bool:
        """Whether the quarantine keeps the bytes of records."""
        return self.config.QUARANTINE_RAW and not self.config.PSEUDONYMIZE_USERS

    @property
    def headers(self) -> HeaderRules:
        """What the header of a log must have."""
        required, optional = rule_columns(self.rules, self.columns)
        return HeaderRules(
            required,
            optional,
            self.config.MAX_RECORD_BYTES,
            hide_lines=self.config.PSEUDONYMIZE_USERS,
            columns=self.config.COLUMNS,
            formats=self.formats,
        )

    def load_geo(self, begin: Callable[[], None] = lambda: None) -> GeoTable:
        """Load the geo table, which is compiled into the user's cache first where it is not there.

        ``begin`` is called before it is compiled. Raises ConfigError where the database or the regions cannot be used.
        """
        database = Path(self.config.GEO_DATABASE) if self.config.GEO_DATABASE else None
        regions = Path(self.config.GEO_REGIONS) if self.config.GEO_REGIONS else None
        return load_geo_table(database, self.config.GEO_LEVEL, regions, cache_folder(), begin)

    def find_library(self, begin: Callable[[], None] = lambda: None) -> Library:
        """Find the compiled library, which is compiled first where the user's cache has none.

        ``begin`` is called before it is compiled.
        """
        return Library(*compile_library(cache_folder(), begin)) if self.config.COMPILED_PARSER else Library(None)

    def fingerprint(self, geo: GeoTable) -> str:
        """Hash of all settings that decide what Phase 1 makes of a file."""
        return fingerprint(
            self.columns,
            max_record=self.config.MAX_RECORD_BYTES,
            keep=self.config.DEDUPE_KEEP,
            geo_digest=geo.source.digest,
            rules=self.rules,
            pseudonyms=self.pseudonyms,
            keep_raw=self.keep_raw,
            formats=self.formats,
            headless=self.config.COLUMNS,
        )

    def read_context(self, workspace: Workspace, sizes: Sizes, geo: GeoTable, library: Library) -> ReadContext:
        """The context of the kernels of Phase 1."""
        return ReadContext(
            workspace=workspace,
            chunk_bytes=self.config.CHUNK_BYTES,
            max_record=self.config.MAX_RECORD_BYTES,
            keep=self.config.DEDUPE_KEEP,
            buckets=sizes.buckets,
            geo_source=geo.source,
            held_bytes=sizes.held_bytes,
            library_path=library.location,
            rules=self.rules,
            pseudonyms=self.pseudonyms,
            keep_raw=self.keep_raw,
            formats=self.formats,
            wanted=dict(self.headers.required),
            optional=dict(self.headers.optional),
        )

    def aggregate_context(
        self, workspace: Workspace, sizes: Sizes, geo: GeoTable, library: Library
    ) -> AggregateContext:
        """The context of the kernels of Phase 2."""
        return AggregateContext(
            workspace=workspace,
            keep=self.config.DEDUPE_KEEP,
            buckets=sizes.buckets,
            bucket_rows=sizes.bucket_rows,
            region_names=geo.names,
            library_path=library.location,
            bucket_bytes=sizes.bucket_bytes,
        )

    def as_record(self) -> dict[str, object]:
        """All settings but the generator's, as ``run.json`` holds them: paths and texts as they can be shown."""
        return record_settings(self.config)


def read_settings(config: Config) -> RunSettings:
    """Resolve columns, rules and key; raises ConfigError where a rule or the key is not valid."""
    # The timestamp is read only where it decides which copy counts, or for a rule.
    columns = {
        role: names for role, names in config.columns.items() if role != "timestamp" or config.DEDUPE_KEEP != "longest"
    }
    rules = bind_rules(config.RECORD_RULES, config.columns, columns)
    pseudonyms = find_key(config.PSEUDONYM_KEY_FILE) if config.PSEUDONYMIZE_USERS else None
    return RunSettings(config, columns, rules, pseudonyms)
