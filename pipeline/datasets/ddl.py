"""Statements of SQL that make the tables of a job elsewhere: PostgreSQL, MySQL, DuckDB, Spark and Athena."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.job import Job
from pipeline.sources.columns import Column, Decimal, ListOf, Text

_TYPES: Mapping[str, Mapping[str, str]] = {
    "postgres": {
        "Text": "text", "Int": "bigint", "Money": "bigint", "Decimal": "numeric(38, {scale})",
        "Float": "double precision", "Bool": "boolean", "Date": "date", "Time": "timestamp(6)", "ListOf": "{item}[]",
    },
    "mysql": {
        "Text": "text", "Int": "bigint", "Money": "bigint", "Decimal": "decimal(38, {scale})", "Float": "double",
        "Bool": "boolean", "Date": "date", "Time": "datetime(6)", "ListOf": "json",
    },
    "duckdb": {
        "Text": "varchar", "Int": "bigint", "Money": "bigint", "Decimal": "decimal(38, {scale})", "Float": "double",
        "Bool": "boolean", "Date": "date", "Time": "timestamp", "ListOf": "{item}[]",
    },
    "spark": {
        "Text": "string", "Int": "bigint", "Money": "bigint", "Decimal": "decimal(38, {scale})", "Float": "double",
        "Bool": "boolean", "Date": "date", "Time": "timestamp_ntz", "ListOf": "array<{item}>",
    },
    "athena": {
        "Text": "string", "Int": "bigint", "Money": "bigint", "Decimal": "decimal(38, {scale})", "Float": "double",
        "Bool": "boolean", "Date": "date", "Time": "timestamp", "ListOf": "array<{item}>",
    },
}  # fmt: skip
_KEY_TEXT = "varchar(255)"
"""MySQL has no index over text of any length."""
_MOST_COMMENT = 1_000
VIEWS, INTERFACE = "views.postgres.sql", "interface"
"""Statements of a job that make views of its tables in PostgreSQL, and the schema of these views. The statements find
the tables without naming schemas. Each ends with a semicolon at the end of a line."""


@dataclass(frozen=True)
class Published:
    """A version: its ``location``, a folder or URL, and the ``day`` that it made, where the job publishes by day."""

    location: str
    day: str = ""

    def table(self, one: DataSet) -> str:
        """The folder of a table."""
        return f"{self.location.rstrip('/')}/{one.place(self.day)}"


def statements(job: Job, published: Published) -> dict[str, str]:
    """The script for each kind of database, by its name."""
    makers: dict[str, Callable[[DataSet, Published], str]] = {
        "postgres": lambda one, _: _postgres(job, one), "mysql": _mysql, "duckdb": _duckdb,
        "spark": _spark, "athena": _athena,
    }  # fmt: skip
    heads = {"postgres": _postgres_head(job)}
    return {
        kind: "\n\n".join([*heads.get(kind, ()), *(make(one, published) for one in job.datasets.values())]) + "\n"
        for kind, make in makers.items()
    }


def sql_type(kind: str, column: Column, *, in_key: bool = False) -> str:
    """The type of a column in a kind of database."""
    if kind == "mysql" and in_key and isinstance(column, Text):
        return _KEY_TEXT
    item = sql_type(kind, column.item) if isinstance(column, ListOf) else ""
    scale = column.scale if isinstance(column, Decimal) else 0
    return _TYPES[kind][type(column).__name__].format(scale=scale, item=item)


def _columns(kind: str, one: DataSet, quote: str, leave_out: tuple[str, ...] = (), comments: bool = False) -> list[str]:
    lines = []
    for name, column in one.contract.columns.items():
        if name in leave_out:
            continue
        parts = [f"{quote}{name}{quote} {sql_type(kind, column, in_key=name in one.key)}"]
        if kind not in ("athena", "spark") and not column.may_be_null:
            parts.append("not null")
        if comments and column.description:
            parts.append(f"comment {_text(_about(column), backslash=kind in ('mysql', 'spark'))}")
        lines.append("    " + " ".join(parts))
    return lines


def _about(column: Column) -> str:
    told = f"{column.description} ({column.unit})" if column.unit else column.description
    return told[:_MOST_COMMENT]


def _text(value: str, *, backslash: bool = False) -> str:
    if backslash:
        value = value.replace("\\", "\\\\")
    return "'" + value.replace("'", "''") + "'"


def _key(one: DataSet, quote: str) -> list[str]:
    columns = [one.contract.columns[name] for name in one.key]
    if not one.key or any(column.may_be_null for column in columns):
        return []  # a primary key has no nulls
    return [f"    primary key ({', '.join(f'{quote}{name}{quote}' for name in one.key)})"]


def postgres_roles(job: Job) -> tuple[str, str]:
    """The roles of PostgreSQL: the owner of all tables of a job, and the reader of its silver, gold and views."""
    name = job.name.replace("-", "_")
    return f"{name}_owner", f"{name}_reader"


def _postgres_head(job: Job) -> list[str]:
    """Roles, and schemas by layer. Rights of rows are given table by table, because other jobs share the schemas."""
    roles = postgres_roles(job)
    lines = [
        f"do $$ begin if not exists (select from pg_roles where rolname = '{role}') then create role {role}; end if; "
        "end $$;"
        for role in roles
    ]
    lines.append(f"grant {roles[0]} to current_user;")  # without which the tables could not be given to it
    layers = sorted({one.layer for one in job.datasets.values()})
    for schema in (*layers, *([INTERFACE] if (job.folder / VIEWS).is_file() else [])):
        lines += [f"create schema if not exists {schema};", f"grant usage, create on schema {schema} to {roles[0]};"]
        lines += [] if schema == "bronze" else [f"grant usage on schema {schema} to {roles[1]};"]
    return ["\n".join(lines)]


def _postgres(job: Job, one: DataSet) -> str:
    owner, reader = postgres_roles(job)
    table = f'{one.layer}."{one.name}"'
    readable = [] if one.layer == "bronze" else [f"grant select on {table} to {reader};"]
    return "\n".join([*create_postgres(one), f"alter table {table} owner to {owner};", *readable])


def create_postgres(one: DataSet) -> list[str]:
    """The statements that make a table of PostgreSQL unless it is there, in the schema of its layer."""
    table = f'{one.layer}."{one.name}"'
    body = ",\n".join([*_columns("postgres", one, '"'), *_key(one, '"')])
    comments = [f"comment on table {table} is {_text(one.grain)};"]
    comments += [
        f'comment on column {table}."{name}" is {_text(_about(column))};'
        for name, column in one.contract.columns.items()
        if column.description
    ]
    return [f"create table if not exists {table} (\n{body}\n);", *comments]


def _mysql(one: DataSet, _: Published) -> str:
    body = ",\n".join([*_columns("mysql", one, "`", comments=True), *_key(one, "`")])
    about = _text(one.grain, backslash=True)
    return f"create table if not exists `{one.name}` (\n{body}\n) character set utf8mb4 comment {about};"


def _duckdb(one: DataSet, published: Published) -> str:
    files = _text(f"{published.table(one)}/**/*.parquet")
    body = ",\n".join([*_columns("duckdb", one, '"'), *_key(one, '"')])
    return (
        f'create table "{one.name}" (\n{body}\n);\n'
        f'insert into "{one.name}" by name from read_parquet({files}, hive_partitioning = false);'
    )


def _spark(one: DataSet, published: Published) -> str:
    # Partitions stand in the files as well: the table reads those, and needs no list of partitions.
    body = ",\n".join(_columns("spark", one, "`", comments=True))
    place = _text(published.table(one), backslash=True)
    options = "options (recursiveFileLookup = 'true')"
    return f"create table if not exists `{one.name}` (\n{body}\n) using parquet {options} location {place};"


def _athena(one: DataSet, published: Published) -> str:
    body = ",\n".join(_columns("athena", one, "`", leave_out=one.partition_by))
    parts = ", ".join(f"`{name}` {sql_type('athena', one.contract.columns[name])}" for name in one.partition_by)
    divided = f"partitioned by ({parts})\n" if parts else ""
    repair = f"\nmsck repair table `{one.name}`;" if parts else ""
    return (
        f"create external table if not exists `{one.name}` (\n{body}\n)\n{divided}stored as parquet\n"
        f"location {_text(published.table(one) + '/')};{repair}"
    )


def write_docs(job: Job, folder: Path, published: Published, page: str) -> list[str]:
    """Write the dictionary and a script for each kind of database into ``folder``. Returns the names of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {"index.html": page} | {f"{kind}.sql": text for kind, text in statements(job, published).items()}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return sorted(files)
