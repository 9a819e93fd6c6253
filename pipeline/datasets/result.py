"""The result of a run of a job: what it answers, and what stands in ``run.json``."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    ==============  ============================================================================
    ``table``       the data set or source
    ``check``       its name
    ``dimension``   of quality
    ``action``      for rows that break it
    ``broken``      rows that break it; 1 for a broken check of the table
    ``of``          rows that it looked at
    ``outcome``     ok, warn, reject, drop or fail
    ``allowed``     the share that may break it
    ``detail``      what a person needs to know besides
    ==============  ============================================================================
    """

    table: str
    check: str
    dimension: str
    action: str
    broken: int
    of: int
    outcome: str
    allowed: float | None = None
    detail: str = ""

    @property
    def share(self) -> float:
        """``broken`` in ``of``."""
        return self.broken / self.of if self.of else 0.0

    def __str__(self) -> str:
        found = f"{self.table} {self.check}: {self.broken:,} of {self.of:,} ({self.share:.4%})"
        return f"{found}: {self.detail}" if self.detail else found


@dataclass(frozen=True)
class TableResult:
    """A table of the run: rows, rejected ones, how many were computed again, the seconds of that and why; how many rows
    checks left out; the folder of the table below the output; and by column how many nulls of the computed rows checks
    filled."""

    rows: int
    rejected: int
    recomputed: int
    seconds: float
    reason: str = ""
    dropped: int = 0
    place: str = ""
    filled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Alert:
    """What a person should see: ``table`` (empty: the run) and ``check`` that found it, its ``level`` (``warn`` or
    ``fail``), and a sentence without any value of a row."""

    table: str
    check: str
    level: str
    message: str


@dataclass(frozen=True)
class JobResult:
    """A run. ``status``: ``ok``, ``nothing new``, or ``failed`` where a check stopped it. ``notes``: what did not work
    and changes nothing of the tables. ``day``: that of the run, of a job that publishes by day. ``skipped_files``: what
    the paths of sources mean besides their files, such as copies with another ending.
    """

    job: str
    run_id: str
    status: str
    engine: str
    as_of: str
    sources: Mapping[str, TableResult]
    tables: Mapping[str, TableResult]
    checks: Sequence[CheckResult]
    seconds: float
    peak_memory_bytes: int
    output: str
    error: str | None = None
    notes: Sequence[str] = field(default_factory=tuple)
    alerts: Sequence[Alert] = field(default_factory=tuple)
    day: str | None = None
    skipped_files: Sequence[str] = field(default_factory=tuple)

    def to_json(self) -> dict[str, Any]:
        """The result as values of JSON."""
        return asdict(self)
