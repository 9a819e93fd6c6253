"""Answers as tables: names and units as people write them, with export of what was asked."""

import string
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute
import streamlit as st

from cli.answers import as_csv, as_json
from pipeline.inspection.query import Found
from utils.units import format_count

LABELS = {
    "region": "Region",
    "user_id": "User",
    "minutes": "Minutes watched",
    "events": "Events",
    "users": "Users",
    "version": "Version",
    "started": "Begun (UTC)",
    "status": "Status",
    "files": "Files",
    "refused": "Refused files",
    "records_read": "Records read",
    "kept": "Events kept",
    "duplicates": "Duplicates",
    "conflicts": "Conflicts",
    "rejected": "Rejected",
    "seconds": "Time, s",
    "mb_per_second": "Speed, MB/s",
    "peak_mb": "Most memory, MB",
    "engine": "Engine",
    "geo_build": "Geo table",
    "reason": "Reason",
    "meaning": "What it means",
    "records": "Records",
    "file": "File",
    "mb": "Size, MB",
    "reasons": "Reasons",
    "line": "Line",
    "column": "Column",
    "value": "Value",
}
"""Column of the dashboard's own questions → its title."""
_DIGITS = {"minutes": 0, "seconds": 1, "mb_per_second": 1, "peak_mb": 0, "mb": 1}
"""Digits behind the point that people need; exports have all."""


def show_table(found: Found, name: str, *, asked_by_user: bool = False) -> None:
    """Rows with their export as CSV and JSON. Columns that the user asked for keep their names and values."""
    table = as_table(found)
    if not asked_by_user:
        table = for_people(table)
    st.dataframe(table, hide_index=True, column_config=None if asked_by_user else _columns(table))
    if found.cut:
        st.text(
            f"{format_count(len(found.rows), 'row')} shown and exported, there are more: raise --limit-rows for more."
        )
    with st.container(horizontal=True):
        for kind, write, media in (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json")):
            file = f"{name}.{kind.lower()}"
            st.download_button(kind, write(found), file, media, key=file, on_click="ignore")


def as_table(found: Found) -> pa.Table:
    """Columns as Arrow; numbers that are wider than 64 bits as text."""
    values = list(zip(*found.rows, strict=True)) or [()] * len(found.columns)
    names = [
        name if name not in found.columns[:number] else f"{name}_{number}" for number, name in enumerate(found.columns)
    ]
    return pa.Table.from_arrays([_as_array(column) for column in values], names)


def for_people(table: pa.Table) -> pa.Table:
    """The table with rounded numbers, moments instead of their text, and nothing where a text is missing."""
    for number, name in enumerate(table.column_names):
        column = table[name]
        if name in _DIGITS and pa.types.is_floating(column.type):
            table = table.set_column(number, name, pyarrow.compute.round(column, _DIGITS[name]))
        if name == "started" and pa.types.is_string(column.type):
            table = table.set_column(number, name, pa.array(map(moment_of, column.to_pylist())))
        elif pa.types.is_string(column.type):
            table = table.set_column(number, name, pyarrow.compute.fill_null(column, ""))
    return table


def moment_of(text: str) -> datetime:
    """A moment as DuckDB writes it."""
    return datetime.fromisoformat(text)


def plain(text: str) -> str:
    """Text as Markdown that shows it as it is: a value in it could otherwise load a picture from another host."""
    return "".join(f"\\{char}" if char in string.punctuation else char for char in text)


def show_fault(fault: Exception) -> None:
    """An error, where people see that it is one."""
    st.error(plain(str(fault)))


def _columns(table: pa.Table) -> dict[str, Any]:
    config: dict[str, Any] = {}
    for field in table.schema:
        title = LABELS[field.name]
        if pa.types.is_timestamp(field.type):
            config[field.name] = st.column_config.DatetimeColumn(title, format="D MMM YYYY, HH:mm:ss")
        elif pa.types.is_integer(field.type) or pa.types.is_floating(field.type):
            config[field.name] = st.column_config.NumberColumn(title, format="localized")
        else:
            config[field.name] = st.column_config.Column(title)
    return config


def _as_array(values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])
