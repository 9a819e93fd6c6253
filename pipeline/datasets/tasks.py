"""What crosses processes while a job runs: the context of its kernels, their tasks and their results."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.sources.protection import Protection

Setting = str | int | float | bool
"""A value of a job's own setting."""


@dataclass(frozen=True)
class JobContext:
    """What all kernels of a run need.

    ================  =========================================
    ``job``           folder of the job's code
    ``run_id``        id of the run
    ``as_of``         moment of the run, naive UTC
    ``settings``      settings of the job
    ``work``          folder for files between the kernels
    ``protections``   by source, how its personal values are hidden; those that hide nothing may be left out
    ``names``         by source its table, by ``source.column`` its column, where the job says otherwise
    ================  =========================================
    """

    job: str
    run_id: str
    as_of: datetime
    settings: Mapping[str, Setting]
    work: str
    protections: Mapping[str, Protection] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExtractTask:
    """One file of a source: where it lies, what it is called in ``_source``, and the ``folder`` for its rows."""

    source: str
    file: str
    name: str
    folder: str
    threads: int = 1
    rows: int = 1


@dataclass(frozen=True)
class TableFiles:
    """Files of a table: which ``columns`` to read (none: all), and which ``ranges`` (begin, rows) of each file (none:
    all rows)."""

    files: tuple[str, ...]
    columns: tuple[str, ...] = ()
    ranges: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class ScatterTask:
    """Rows ``begin``:``begin + rows`` of one file of a keyed input, to be put into ``buckets`` by the values of ``by``;
    ``output``: the file to write."""

    file: str
    begin: int
    rows: int
    columns: tuple[str, ...]
    by: tuple[str, ...]
    buckets: int
    output: str


@dataclass(frozen=True)
class TransformTask:
    """One bucket of a data set.

    ================  ========================================================================================
    ``table``         the data set
    ``bucket``        its number, of ``buckets``
    ``inputs``        files of each input; of keyed ones the rows of this bucket
    ``references``    files of the tables that checks look into
    ``affected``      file with the values of ``by`` that are computed again; empty: all
    ``output``        folder for what is made
    ``parts``         in how many files a table without partitions is stored, by the values of ``by``
    ``rows``          of the keyed inputs, for progress
    ================  ========================================================================================
    """

    table: str
    bucket: int
    buckets: int
    inputs: Mapping[str, TableFiles]
    references: Mapping[str, TableFiles]
    output: str
    affected: str = ""
    parts: int = 1
    rows: int = 1


@dataclass(frozen=True)
class Piece:
    """Rows of one unit (a partition, or a part of a table without) in one file."""

    unit: str
    file: str
    rows: int


@dataclass(frozen=True)
class Transformed:
    """What became of one bucket.

    ==============  ==========================================================================================
    ``made``        rows that the transform returned
    ``pieces``      the good ones, by unit
    ``broken``      rows that break a check, by its name
    ``rejected``    rows that checks rejected
    ``rejects``     the file that has them; empty: none
    ``sums``        by check of conservation: (sum in the result, sum in the input)
    ``filled``      by column, how many nulls got a value
    ==============  ==========================================================================================
    """

    made: int
    pieces: tuple[Piece, ...]
    broken: Mapping[str, int] = field(default_factory=dict)
    rejected: int = 0
    rejects: str = ""
    sums: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    filled: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class AssembleTask:
    """The pieces of one unit, from all buckets, which become its file in the folder ``output``."""

    table: str
    unit: str
    pieces: tuple[str, ...]
    output: str
    rows: int = 1


@dataclass(frozen=True)
class ReplaceTask:
    """One unit of which some rows were computed again.

    ============  ======================================================================
    ``before``    its file in the version before; empty: there is none
    ``affected``  file with the values of ``by`` whose rows leave it
    ``piece``     file with the rows that take their place, in order; empty: none do
    ``output``    folder of the table
    ``gone``      file to write with the rows that left, where the unit changes
    ============  ======================================================================
    """

    table: str
    unit: str
    before: str
    affected: str
    piece: str
    output: str
    gone: str
    rows: int = 1


@dataclass(frozen=True)
class LawTask:
    """A data set that is made of ``inputs`` in ``buckets`` parts, with rows in an order of chance by ``seed``.

    ``without``: a lookup of which about half of the values are left out; empty: none.
    """

    table: str
    inputs: Mapping[str, TableFiles]
    buckets: int
    seed: int
    without: str = ""
    rows: int = 1


@dataclass(frozen=True)
class Digest:
    """The rows of a result: how many, and a hash of their bytes in order.

    With a lookup of which values are left out, they are the rows of those values of ``by`` that do not use them:
    ``complete`` is the hash of the same rows where nothing is left out.
    """

    rows: int
    digest: str
    complete: str = ""
