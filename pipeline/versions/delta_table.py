"""The Delta table beside the link (TABLE_FORMAT = delta): one commit for each version that the link shows.

The table lies in ``OUTPUT_DIR.delta``: ``_delta_log``, and for each kept version a folder with hard links to its data
files, so that no byte is there twice. Who opens the table sees one version, because Delta's log names every file. Its
files stay as long as their version does: after that, who travels back to it gets an error.

The order holds against a crash between any two steps: the links are there before OUTPUT_DIR shows the version, the
commit comes after it, and only then do the links of removed versions go. What is missing, the next run makes up for.
"""

import importlib.util
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pipeline.errors import ConfigError, EnvironmentFault, install_command
from pipeline.faults import point
from pipeline.machine import sync
from pipeline.versions.folders import is_run_folder, make_own

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from deltalake.transaction import AddAction

LOG = "_delta_log"
VERSION_KEY = "logmill.version"
"""Key of a commit's metadata: the version that the table shows since then. ``DeltaTable.history`` lists it."""

_PLAIN_PATH = re.compile(r"[A-Za-z0-9/._~+@,-]+")
"""Paths that are the same in a URL."""

_BOUNDED = ("INT32", "INT64", "FLOAT", "DOUBLE")
"""Physical types of Parquet whose smallest and largest values a commit states; texts may be long."""


def table_folder(link: Path) -> Path:
    """Where the table of an output lies."""
    return link.with_name(link.name + ".delta")


class VersionTable:
    """The Delta table of the output with this ``link``, over the folder of its ``versions``."""

    def __init__(self, link: Path, versions: Path) -> None:
        self.folder = table_folder(link)
        self._versions = versions

    def check(self) -> None:
        """Find early what would prevent a commit; makes the folder of the table.

        Raises ConfigError where something else stands there or readers cannot follow the path, EnvironmentFault where
        the package or hard links are missing.
        """
        if not _PLAIN_PATH.fullmatch(str(self.folder)):
            raise ConfigError(
                f"the Delta table would lie in {str(self.folder)!r}: expected a path of A-Z a-z 0-9 / . _ ~ + @ , - "
                "alone, because Delta writes paths as URLs, and some readers (Polars) do not find files where that "
                "changes a character. Choose another --output, or TABLE_FORMAT = parquet."
            )
        if importlib.util.find_spec("deltalake") is None:
            raise EnvironmentFault(
                "TABLE_FORMAT = delta needs deltalake, which is an extra. Run: "
                + install_command("requirements-delta.txt")
            )
        self._check_place()
        probe, linked = self._versions / f".probe-{os.getpid()}", self.folder / f".probe-{os.getpid()}"
        try:
            make_own(self.folder, "--output")
            probe.touch()
            os.link(probe, linked)
        except OSError as fault:
            raise EnvironmentFault(
                f"cannot make hard links in {str(self.folder)!r} to files of {str(self._versions)!r}: "
                f"{fault.strerror or fault}. Choose an --output on a file system that has them, with both folders on "
                "one disk, or TABLE_FORMAT = parquet."
            ) from fault
        finally:
            linked.unlink(missing_ok=True)
            probe.unlink(missing_ok=True)

    def _check_place(self) -> None:
        if self.folder.is_dir() and not self.folder.is_symlink():
            held = list(self.folder.iterdir())
            foreign = [path.name for path in held if path.name != LOG and not path.name.startswith(".probe-")]
            if not foreign or any(is_run_folder(path) for path in held):  # others may have added to a table of ours
                return
            found = f"holds {foreign[0]!r}, which Logmill did not make"
        elif os.path.lexists(self.folder):
            found = "is a link or a file"
        else:
            return
        raise ConfigError(
            f"the Delta table {str(self.folder)!r} {found}. Move it away, choose another --output, or use TABLE_FORMAT "
            "= parquet."
        )

    def prepare(self, version: str) -> None:
        """Give the table links to the data files of a version, which no commit names yet."""
        target = self.folder / version
        for source in _data_files(self._versions / version / "data"):
            linked = target / source.parent.name / source.name
            linked.parent.mkdir(parents=True, exist_ok=True)
            if not linked.exists():
                point("table.link")
                os.link(source, linked)
        for folder, _, _ in os.walk(target):
            sync(Path(folder))
        sync(self.folder)

    def commit(self, version: str) -> None:
        """Make a prepared version the newest of the table, unless it is.

        Raises EnvironmentFault where that fails: the table then shows the version before until the next run.
        """
        if self.shown() == version:
            return
        point("table.commit")
        try:
            self._commit(version)
        except Exception as fault:  # deltalake raises kinds of its own, and OSError
            raise EnvironmentFault(
                f"version {version} is the result, but the Delta table {str(self.folder)!r} does not show it yet: "
                f"{str(fault).splitlines()[0] if str(fault) else type(fault).__name__}. Check the disk; the next run "
                "adds the version to the table."
            ) from fault
        point("table.commit.done")

    def _commit(self, version: str) -> None:
        import pyarrow.parquet as pq
        from deltalake import CommitProperties, DeltaTable, Schema
        from deltalake.transaction import create_table_with_add_actions

        files = list(_data_files(self.folder / version))
        footers = [pq.read_metadata(path) for path in files]
        keys = [path.parent.name.partition("=")[0] for path in files[:1]]
        schema = Schema.from_arrow(_with_keys(keys, pq.read_schema(files[0])))
        added = [self._action(path, footer) for path, footer in zip(files, footers, strict=True)]
        properties = CommitProperties(custom_metadata={VERSION_KEY: version})
        before = self._log_files()
        if before:
            table = DeltaTable(str(self.folder))
            table.create_write_transaction([*added], "overwrite", schema, keys, commit_properties=properties)
        else:
            create_table_with_add_actions(
                str(self.folder), schema, added, "error", keys, commit_properties=properties,
                description="What Logmill published: one commit a version.",
            )  # fmt: skip
        for path in self._log_files() - before:
            sync(path)
        sync(self.folder / LOG)
        sync(self.folder)

    def _action(self, path: Path, footer: "pq.FileMetaData") -> "AddAction":
        from deltalake.transaction import AddAction

        key, _, value = path.parent.name.partition("=")
        status = path.stat()
        return AddAction(
            path=path.relative_to(self.folder).as_posix(),  # deltalake encodes it
            size=status.st_size,
            partition_values={key: unquote(value)},
            modification_time=status.st_mtime_ns // 10**6,
            data_change=True,
            stats=json.dumps(_statistics(footer)),
        )

    def shown(self) -> str | None:
        """The version of the newest commit; None where there is none, or another program made it.

        A commit that a crash of the machine cut off is removed: nobody can read the table with it.
        """
        for path in sorted((path for path in self._log_files() if path.suffix == ".json"), reverse=True):
            try:
                actions = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                version: str | None = next(a["commitInfo"].get(VERSION_KEY) for a in actions if "commitInfo" in a)
                return version
            except (ValueError, StopIteration):
                path.unlink()
        return None

    def _log_files(self) -> set[Path]:
        log = self.folder / LOG
        return set(log.iterdir()) if log.is_dir() else set()

    def remove_all_but(self, versions: set[str]) -> None:
        """Remove the links of all other versions; the newest commit must be of one of ``versions``."""
        for folder in list(self.folder.iterdir()):
            if is_run_folder(folder) and folder.name not in versions:
                point("table.remove")
                shutil.rmtree(folder, ignore_errors=True)


def _data_files(data: Path) -> Iterator[Path]:
    yield from sorted(data.glob("*=*/*.parquet"))


def _with_keys(keys: list[str], schema: "pa.Schema") -> "pa.Schema":
    import pyarrow as pa

    return pa.schema([*(pa.field(key, pa.string()) for key in keys), *schema])


def _statistics(footer: "pq.FileMetaData") -> dict[str, Any]:
    """What Delta knows of a file: its rows, nulls by column, and the bounds of numbers."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    nulls: dict[str, int] = {}
    low: dict[str, float] = {}
    high: dict[str, float] = {}
    for index in range(footer.num_columns):
        columns = [group.column(index) for group in groups]
        found = [column.statistics for column in columns if column.is_stats_set]
        if not columns or len(found) < len(columns):
            continue
        name = columns[0].path_in_schema
        nulls[name] = sum(statistics.null_count for statistics in found)
        if columns[0].physical_type in _BOUNDED and all(statistics.has_min_max for statistics in found):
            low[name] = min(statistics.min for statistics in found)
            high[name] = max(statistics.max for statistics in found)
    return {"numRecords": footer.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}
