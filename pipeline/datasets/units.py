"""Files of tables: reading inputs, dividing rows by values, and writing units (partitions, or parts of a table)."""

import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import polars as pl

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.helpers import hash_text, length_and_value
from pipeline.datasets.parquet_columns import key_values_in, replace_columns
from pipeline.datasets.tasks import Piece, TableFiles
from pipeline.errors import ConfigError, InputError
from pipeline.machine import writing
from pipeline.sources.contract import SOURCE_FACTS
from pipeline.sources.extracted import TEXT_BYTES, size_facts
from pipeline.staging import staged

NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_LONGEST_NAME = 255
"""The name of a partition without a value, as Hive and all its readers know it."""
ONLY_UNIT = "part-0.parquet"
"""The file of a table that has one, also where it has no rows."""
_FIBONACCI = 0x9E3779B97F4A7C15
_ROW_GROUP = 262_144
_MOST_CHOSEN_PARTITIONS = 10_000
_MOST_PARTS, _PART_ROWS = 256, 4_096
"""Of more partitions than that, or with fewer rows each, all rows are sorted at once."""


def scan(table: TableFiles, schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """The rows of files. ``schema``: columns and types where there is no file, besides what extraction adds to rows of
    a source, and the columns that are read where ``table`` names none."""
    columns = table.columns or tuple(schema)
    if not table.files:
        return pl.LazyFrame(schema={**SOURCE_FACTS, **schema}).select(columns)
    if table.ranges:
        parts = [
            scan_file(file).slice(begin, rows)
            for file, (begin, rows) in zip(table.files, table.ranges, strict=True)
            if rows
        ]
        found = pl.concat(parts) if parts else scan_file(table.files[0]).head(0)
    else:
        found = scan_file(*table.files)
    return found.select(columns)


def scan_file(*files: str) -> pl.LazyFrame:
    """Scan Parquet files; brackets and stars in their paths are no pattern, and folders no columns."""
    return pl.scan_parquet(
        list(files), glob=False, hive_partitioning=False, missing_columns="insert", extra_columns="ignore"
    )


def bucket_of(by: Sequence[str], types: Mapping[str, pl.DataType], buckets: int) -> pl.Expr:
    """The bucket (UInt32) of a row by the leading bits of a hash of ``by``; ``buckets`` is a power of two.

    A finer number refines a coarser one.
    """
    if buckets == 1:
        return pl.lit(0, pl.UInt32)
    hashed = _hash(by[0], types) if len(by) == 1 else hash_text(key_text(by))
    return (hashed // (2**64 // buckets)).cast(pl.UInt32)


def _hash(name: str, types: Mapping[str, pl.DataType]) -> pl.Expr:
    if types[name].is_integer() or types[name].is_temporal():
        number = pl.col(name).to_physical().cast(pl.Int64).fill_null(-1).reinterpret(signed=False)
        return number * pl.lit(_FIBONACCI, pl.UInt64)
    return hash_text(pl.col(name).cast(pl.String).fill_null(""))


def key_text(columns: Sequence[str]) -> pl.Expr:
    """The values of columns as one text, each after its length: equal texts are equal values."""
    return pl.concat_str(part for name in columns for part in length_and_value(name))


def in_order(rows: pl.DataFrame, one: DataSet) -> pl.DataFrame:
    """The rows in the order of a data set. Where partitions are few and large, they are sorted one by one, each in the
    caches of the processor."""
    if not one.partition_by or not len(rows):
        return unit_in_order(rows, one)
    number = len(rows.group_by(one.partition_by).len())
    if number > _MOST_PARTS or len(rows) < number * _PART_ROWS:
        return rows.sort(one.order, nulls_last=False, maintain_order=True)
    parts = rows.partition_by(one.partition_by, maintain_order=True)
    values = pl.concat(part.select(one.partition_by).head(1) for part in parts)
    places: list[int] = values.select(pl.arg_sort_by(one.partition_by, nulls_last=False)).to_series().to_list()
    del rows  # of which parts are a copy; there is no third one
    for place in places:
        parts[place] = unit_in_order(parts[place], one)
    return pl.concat(parts[place] for place in places)


def unit_in_order(rows: pl.DataFrame, one: DataSet) -> pl.DataFrame:
    """The rows of one unit in the order of a data set. A sort that keeps equal rows in place is a merge where lots of
    rows are in order already."""
    names = [name for name in one.order if name not in one.partition_by]
    return rows.sort(names, nulls_last=False, maintain_order=True) if names else rows


def write_units(rows: pl.DataFrame, one: DataSet, folder: Path, parts: int) -> tuple[Piece, ...]:
    """Write rows, which are in the order of the data set, as a file for each unit below ``folder``."""
    if not one.partition_by:
        return tuple(
            write_unit(part, folder, unit) for unit, part in _parts(rows, one, parts).items() if len(part) or parts == 1
        )
    if not len(rows):
        return ()
    sizes = rows.group_by(one.partition_by, maintain_order=True).len("_".join((*one.partition_by, "rows")))
    check_partitions(one, len(sizes))
    ends = sizes.to_series(-1).cum_sum()
    units = {
        partition_name(one.partition_by, values): rows.slice(end - size, size)
        for (*values, size), end in zip(sizes.iter_rows(), ends, strict=True)
    }
    if pl.thread_pool_size() == 1:  # in a worker or executor
        return tuple(write_unit(part, folder, unit) for unit, part in units.items())
    with ThreadPoolExecutor(pl.thread_pool_size()) as pool:
        return tuple(pool.map(lambda unit: write_unit(units[unit], folder, unit), units))


def _parts(rows: pl.DataFrame, one: DataSet, parts: int) -> dict[str, pl.DataFrame]:
    if parts == 1:
        return {ONLY_UNIT: rows}
    numbers = rows.select(bucket_of(one.by, rows.schema, parts).alias("part"))["part"]
    return {f"part-{number}-of-{parts}.parquet": rows.filter(numbers == number) for number in range(parts)}


def write_unit(rows: pl.DataFrame, folder: Path, unit: str) -> Piece:
    """Write the rows of one unit."""
    path = folder / unit
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        _write(rows, staged(path), size_facts(rows))
    return Piece(unit, str(path), len(rows))


def write_changed(before: Path, changed: pl.DataFrame, more_text: int, folder: Path, unit: str) -> Piece | None:
    """Write the rows of one unit as the file ``before`` has them, but for the columns ``changed``: to the byte what
    ``write_unit`` writes. ``more_text``: bytes of all texts, more than before.

    None, and nothing is written: another version of this program wrote that file, or of Polars.
    """
    old, stream = before.read_bytes(), io.BytesIO()
    _write(changed, stream, {})
    size = int(key_values_in(old).get(TEXT_BYTES.encode(), b"-1"))
    if size < 0:
        return None
    data = replace_columns(old, stream.getvalue(), {TEXT_BYTES.encode(): str(size + more_text).encode()})
    if data is None:
        return None
    path = folder / unit
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path):
        staged(path).write_bytes(data)
    return Piece(unit, str(path), len(changed))


def _write(rows: pl.DataFrame, target: Path | io.BytesIO, metadata: dict[str, str]) -> None:
    rows.write_parquet(target, compression="zstd", compression_level=1, row_group_size=_ROW_GROUP, metadata=metadata)


def check_partitions(one: DataSet, number: int) -> None:
    """Raise ConfigError where a setting chose columns that make more folders than anyone can use."""
    if one.partition_setting and number > _MOST_CHOSEN_PARTITIONS:
        raise ConfigError(
            f"the setting {one.partition_setting} makes {number:,} partitions of {one.name} "
            f"({', '.join(one.partition_by)}), expected {_MOST_CHOSEN_PARTITIONS:,} at most. Nothing was published. "
            "Choose fewer columns, or one with fewer values."
        )


def partition_name(columns: Sequence[str], values: Sequence[object]) -> str:
    """The path of a partition's file below its table: ``day=2026-11-30/part-0.parquet``.

    Raises InputError where a value is too long for the name of a folder.
    """
    folders = [
        f"{name}={NULL_PARTITION if value is None else quote(str(value), safe=' :')}"
        for name, value in zip(columns, values, strict=True)
    ]
    for name, folder in zip(columns, folders, strict=True):
        if len(folder) > _LONGEST_NAME:
            raise InputError(
                f"a value of {name} makes a folder's name of {len(folder)} bytes, and {_LONGEST_NAME} are possible. "
                "Partition by another column."
            )
    return "/".join((*folders, "part-0.parquet"))
