"""Declares a source: where its rows come from, and what they are."""

import glob
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pipeline.errors import ConfigError, InputError
from pipeline.machine import display_name
from pipeline.sources.columns import Bool, Date, Time
from pipeline.sources.contract import Contract
from pipeline.storage.objects import find_objects, list_objects, look_at
from pipeline.storage.urls import SCHEMES, has_magic, is_url
from utils.units import format_list

Kind = Literal["csv", "parquet"]
_ENDINGS = {
    "csv": (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".csv.zst", ".tsv.zst"),
    "parquet": (".parquet", ".pq"),
}
_NAMES = 10


@dataclass(frozen=True)
class Source:
    """Rows of files, or of a table of a database.

    ================  =============================================================================================
    ``path``          a file, a folder or a glob, also a URL; a relative path is below what ``--source`` names
    ``contract``      columns of its rows
    ``kind``          csv or parquet
    ``snapshots``     whether rows of all extracts count, so that history can be told; otherwise those that the
                      files have now
    ``optional``      whether there may be no file at all; the source has no rows then
    ``delimiter``     of CSV; None: the one of ``, ; TAB |`` under which the header has all columns
    ``table``         the table where ``--source`` is a database, also as ``schema.table``; empty: it is called as the
                      source
    ``key``           columns that identify a row of the table; needed where there is ``updated``
    ``updated``       column with the time when a row was written last: only rows after the last run are read; empty:
                      all rows are read in each run
    ``overlap``       how far before that the reading begins: more than clocks of writers differ, and than the longest
                      transaction lasts where the server does not show those that are open
    ``deletions``     how often all keys are read, to find rows that are gone; None: never
    ``deleted``       of a source with snapshots: the column, a ``Bool``, that is true in the row which is added for a
                      row that is gone; empty: a source with snapshots keeps rows that are gone, and none is added
    ================  =============================================================================================
    """

    path: str
    contract: type[Contract]
    kind: Kind
    snapshots: bool = False
    optional: bool = False
    delimiter: str | None = None
    table: str = ""
    key: tuple[str, ...] = ()
    updated: str = ""
    overlap: timedelta = timedelta(hours=1)
    deletions: timedelta | None = timedelta(days=1)
    deleted: str = ""


def csv(
    path: str,
    contract: type[Contract],
    *,
    snapshots: bool = False,
    optional: bool = False,
    delimiter: str | None = None,
    table: str = "",
) -> Source:
    """Read CSV files (also ``.gz`` and ``.zst``) that have a header; further columns are ignored. See ``Source``."""
    return Source(path, contract, "csv", snapshots, optional, delimiter, table)


def parquet(
    path: str, contract: type[Contract], *, snapshots: bool = False, optional: bool = False, table: str = ""
) -> Source:
    """Read Parquet files; texts in them are read as those of CSV are. See ``Source``."""
    return Source(path, contract, "parquet", snapshots, optional, table=table)


def table(
    name: str,
    contract: type[Contract],
    *,
    key: str | tuple[str, ...] = (),
    updated: str = "",
    overlap: timedelta = timedelta(hours=1),
    deletions: timedelta | None = timedelta(days=1),
    deleted: str = "",
    snapshots: bool = False,
    optional: bool = False,
) -> Source:
    """Read a table of a database, or ``NAME.csv`` (without the schema) where ``--source`` is a folder. See ``Source``.

    Raises ConfigError where ``key``, ``updated`` or ``deleted`` name no column that is fit.
    """
    columns = (key,) if isinstance(key, str) else key
    if unfit := [one for one in columns if one not in contract.columns or contract.columns[one].may_be_null]:
        raise ConfigError(
            f"table {name}: key names {unfit[0]}, which is no column of {contract.__name__} without nulls."
        )
    if updated and not isinstance(contract.columns.get(updated), Time | Date):
        raise ConfigError(f"table {name}: updated names {updated}, which is no Time or Date of {contract.__name__}.")
    if updated and not columns:
        raise ConfigError(f"table {name}: updated needs a key, by which rows that are read again replace those before.")
    if deleted and not (isinstance(contract.columns.get(deleted), Bool) and contract.columns[deleted].may_be_null):
        raise ConfigError(f"table {name}: deleted names {deleted}, which is no optional Bool of {contract.__name__}.")
    if deleted and not (updated and snapshots):
        raise ConfigError(
            f"table {name}: deleted needs updated and snapshots=True; without them, rows that are gone go."
        )
    file = f"{name.rpartition('.')[2]}.csv"
    return Source(file, contract, "csv", snapshots, optional, None, name, columns, updated, overlap, deletions, deleted)


def list_files(source: Source, base: str) -> tuple[list[str], list[str]]:
    """(files of a source, files that its path means and that are skipped), in the order of their names; those of a
    storage as ``ObjectUrl``. ``base``: the folder or URL of ``--source``.

    Of a folder or glob, hidden files and other endings are skipped: a copy such as ``orders.csv.bak`` is no source.
    Raises InputError where there is no file and the source is not optional; ConfigError for a URL that nobody reads.
    """
    place = source.path if "://" in source.path else os.path.join(base, source.path)
    scheme, divider, _ = place.partition("://")
    if divider and scheme.isalnum() and not is_url(place):
        raise ConfigError(
            f"a source cannot be read by {scheme}://. Expected a folder of this machine, a URL of object storage "
            f"({', '.join(f'{known}://' for known in SCHEMES)}) or of a database (postgresql://, mysql://)."
        )
    found = _list_objects(place) if is_url(place) else _list_local(place)
    files: list[str] = []
    skipped: list[str] = []
    for path in found:
        (files if path == place or _is_readable(source, path) else skipped).append(path)
    if not files and not source.optional:
        others = f" (skipped: {format_list(skipped, _NAMES, display_name)})" if skipped else ""
        raise InputError(
            f"there is no file {display_name(place)!r}{others}: expected {source.kind.upper()} with "
            f"{_names(source.contract)}. Name the folder of the sources with --source."
        )
    # Absolute, because executors of a cluster work in folders of their own.
    return files if is_url(place) else [os.path.abspath(path) for path in files], skipped


def _is_readable(source: Source, path: str) -> bool:
    name = os.path.basename(path).lower()
    return name.endswith(_ENDINGS[source.kind]) and not name.startswith(".")


def _names(contract: type[Contract]) -> str:
    """The columns as they stand in a file: ``"id, price or unit_price (optional: discount)"``."""
    names = {name: " or ".join(column.names(name)) for name, column in contract.columns.items()}
    optional = [names[name] for name, column in contract.columns.items() if column.optional]
    needed = ", ".join(named for named in names.values() if named not in optional)
    return f"{needed} (optional: {', '.join(optional)})" if optional else needed


def _list_local(place: str) -> list[str]:
    if os.path.isfile(place):
        return [place]
    pattern = os.path.join(glob.escape(place), "**") if os.path.isdir(place) else place
    return [str(path) for path in sorted(map(Path, glob.glob(pattern, recursive=True))) if path.is_file()]


def _list_objects(place: str) -> list[str]:
    if has_magic(place):
        return list(find_objects(place))
    with suppress(FileNotFoundError):
        return [look_at(place)]
    return list(list_objects(f"{place.rstrip('/')}/"))
