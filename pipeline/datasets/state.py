"""What a version of a job knows of its sources and tables: written into ``run.json``, and where the next run begins."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.versions.folders import RUN_RECORD
from pipeline.versions.output_link import Output


@dataclass(frozen=True)
class FileState:
    """A file of a source as it was extracted.

    ==============  =========================================================================
    ``name``        in ``_source``
    ``bytes``, ``mtime_ns``, ``hash``  of the file then
    ``folder``      of bronze, with the Parquet files ``parts`` and ``rejects``
    ``rows``        good rows, ``rejected`` others by reason
    ==============  =========================================================================
    """

    name: str
    bytes: int
    mtime_ns: int
    hash: str
    folder: str
    parts: tuple[str, ...]
    rows: int
    rejected: Mapping[str, int] = field(default_factory=dict)
    rejects: tuple[str, ...] = ()

    def paths(self, bronze: Path) -> list[str]:
        """The Parquet files with the rows."""
        return [str(bronze / self.folder / part) for part in self.parts]


@dataclass(frozen=True)
class SourceState:
    """A source: its files that count, the fingerprint of its declaration, the run that changed it last, the mark of how
    its personal values are hidden, and of a table of a database how far it was read (``position``)."""

    files: tuple[FileState, ...]
    fingerprint: str
    changed_in: str
    protection: str = ""
    position: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Good rows."""
        return sum(file.rows for file in self.files)

    @property
    def rejected(self) -> int:
        """Rejected rows."""
        return sum(sum(file.rejected.values()) for file in self.files)

    def paths(self, bronze: Path) -> tuple[str, ...]:
        """The Parquet files with the rows."""
        return tuple(path for file in self.files for path in file.paths(bronze))


@dataclass(frozen=True)
class TableState:
    """A table of a version.

    ==============  ================================================================================
    ``rows``        good rows, ``rejected`` those that checks rejected, ``dropped`` those that checks left out
    ``recomputed``  rows that this run made, 0 where it took the table over
    ``units``       rows by path of the file below the table
    ``parts``       files of a table without partitions
    ``seconds``     that this run took for it
    ``changed_in``  the run that changed its rows last
    ``inputs``      by input or reference: the run that had changed it last when this table was made
    ``made_with``   fingerprint of the code and settings that made it
    ``as_of``       of the run that made it
    ``place``       the folder of the table below ``data``
    ``filled``      by column, how many nulls of the rows that this run made got a value
    ==============  ================================================================================
    """

    rows: int
    rejected: int
    recomputed: int
    units: Mapping[str, int]
    parts: int
    seconds: float
    changed_in: str
    inputs: Mapping[str, str]
    made_with: str
    as_of: str
    dropped: int = 0
    place: str = ""
    filled: Mapping[str, int] = field(default_factory=dict)

    def paths(self, folder: Path) -> tuple[str, ...]:
        """The files. ``folder``: of the table."""
        return tuple(str(folder / unit) for unit in sorted(self.units))


@dataclass(frozen=True)
class JobState:
    """The sources and tables of one version in ``folder``."""

    folder: Path
    run_id: str
    sources: Mapping[str, SourceState] = field(default_factory=dict)
    tables: Mapping[str, TableState] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def day(self) -> str:
        """The day that its run made, where the job publishes by day; otherwise empty."""
        return str(self.record.get("day") or "")

    def table_folder(self, name: str) -> Path:
        """The folder of a table."""
        return self.folder / "data" / (self.tables[name].place or name)


def states_to_json(sources: Mapping[str, SourceState], tables: Mapping[str, TableState]) -> dict[str, Any]:
    """The states as values of JSON."""
    return {
        "sources": {name: asdict(state) for name, state in sources.items()},
        "tables": {name: asdict(state) for name, state in tables.items()},
    }


def read_state(output: Output, version: str | None = None, *, records_only: bool = True) -> JobState | None:
    """The state of a version; None: the one that the output shows. None where there is nothing.

    ``records_only``: of an output on a storage, perhaps no table is in its folder.
    Raises InputError where the record cannot be read.
    """
    name = version or output.current()
    if name is None:
        return None
    return state_in(output.folder_of(name, records_only=records_only), name)


def state_in(folder: Path, name: str) -> JobState | None:
    """The state of the version ``name`` in its folder, or None. Raises InputError where the record cannot be read."""
    path = folder / RUN_RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        sources = {name: _source(state) for name, state in record["states"]["sources"].items()}
        tables = {name: TableState(**state) for name, state in record["states"]["tables"].items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as fault:
        raise InputError(
            f"{str(path)!r} is no record of a job ({type(fault).__name__}). Choose another --output, or remove the "
            "version's folder if it is damaged."
        ) from fault
    return JobState(folder, name, sources, tables, record)


def kept_states(output: Output) -> list[JobState]:
    """The states of all kept versions, in the order in which they were published. Raises as ``read_state``."""
    return [state for name in output.version_names() if (state := read_state(output, name))]


def published_state(output: Output, *, records_only: bool = False) -> JobState:
    """The state of the version that the output shows, with its files. Raises InputError where there is none, and as
    ``read_state``."""
    state = read_state(output, records_only=records_only)
    if state is None:
        raise InputError(f"nothing is published at {output.key!r}. Run the job first.")
    return state


def _source(state: dict[str, Any]) -> SourceState:
    files = tuple(
        FileState(**{**file, "parts": tuple(file["parts"]), "rejects": tuple(file["rejects"])})
        for file in state["files"]
    )
    marks = state.get("protection", ""), state.get("position", {})
    return SourceState(files, state["fingerprint"], state["changed_in"], *marks)
