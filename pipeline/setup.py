"""What the settings mean to a run: columns, rules, the pseudonym key, the geo table, and the job of the kernels."""

from dataclasses import dataclass
from pathlib import Path

from config import Config
from pipeline.machine import cache_folder
from pipeline.geo import GeoTable, load_geo_table
from pipeline.header import Names
from pipeline.intermediate import Workspace
from pipeline.job import Job
from pipeline.planner import Plan
from pipeline.privacy import KeySource, find_key
from pipeline.record_rules import BoundRule, bind_rules
from pipeline.machine import display_name
from utils.settings import declared


@dataclass(frozen=True)
class Setup:
    """Settings that were found to make sense. ``columns``: accepted header names of the columns that are read, by role;
    ``pseudonyms``: where the key is, if users get any."""

    config: Config
    columns: Names
    rules: tuple[BoundRule, ...]
    pseudonyms: KeySource | None

    @classmethod
    def of(cls, config: Config) -> "Setup":
        """Raises ConfigError where rules or the key do not fit."""
        # The timestamp is read only where it decides (or for a rule).
        columns = {
            role: names
            for role, names in config.columns.items()
            if role != "timestamp" or config.DEDUPE_KEEP != "longest"
        }
        rules = bind_rules(config.RECORD_RULES, config.columns, columns)
        return cls(config, columns, rules, find_key(config.PSEUDONYM_KEY_FILE) if config.PSEUDONYMIZE_USERS else None)

    @property
    def plain(self) -> bool:
        """Whether the compiled parser may read: it judges no rules and makes no pseudonyms."""
        return self.config.COMPILED_PARSER and not self.rules and not self.config.PSEUDONYMIZE_USERS

    def load_geo(self) -> GeoTable:
        """The geo table, compiled into the user's cache where it is not there yet. Raises ConfigError."""
        database = Path(self.config.GEO_DATABASE) if self.config.GEO_DATABASE else None
        regions = Path(self.config.GEO_REGIONS) if self.config.GEO_REGIONS else None
        return load_geo_table(database, self.config.GEO_LEVEL, regions, cache_folder())

    def make_job(self, workspace: Workspace, sizes: Plan, geo: GeoTable, kernel: Path | None) -> Job:
        """What the kernels need; ``kernel``: the compiled parser, if there is one."""
        config = self.config
        return Job(
            workspace=workspace,
            version=Path(workspace.root).name.removeprefix("run-"),
            chunk_bytes=config.CHUNK_BYTES,
            max_record=config.MAX_RECORD_BYTES,
            keep=config.DEDUPE_KEEP,
            buckets=sizes.buckets,
            bucket_rows=sizes.bucket_rows,
            file_rows=sizes.file_rows,
            held_bytes=sizes.held_bytes,
            compression=config.COMPRESSION,
            geo_source=geo.source,
            kernel=str(kernel) if kernel else None,
            rules=self.rules,
            pseudonyms=self.pseudonyms,
            keep_raw=config.QUARANTINE_RAW and not config.PSEUDONYMIZE_USERS,
        )

    def shown(self) -> dict[str, object]:
        """Settings as text and numbers for the record of a run; paths as they can be shown."""
        names = [name for name in declared(self.config) if not name.startswith("GENERATOR_")]
        values = {name: getattr(self.config, name) for name in names}
        # No setting, but in every record so far: without it, a run that finds nothing new would differ from the version
        # before it, and publish a version for that.
        values["INPUT_NAMED"] = "INPUT_DIR" in self.config.origins
        return {name: display_name(value) if isinstance(value, str) else value for name, value in values.items()}
