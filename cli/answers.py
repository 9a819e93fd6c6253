"""Rows of a query as text: a table for people, CSV that a spreadsheet may open, JSON for programs."""

import csv
import io
import json
import math
from collections.abc import Callable
from decimal import Decimal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.console import printable
from pipeline.inspection.query import Found, Value

WIDEST = 10_000
"""Characters of a line where no terminal limits it."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet would compute (OWASP, "CSV Injection"); the last four are full-width forms."""


def as_table(found: Found, width: int | None = None) -> str:
    """A table of aligned columns, numbers to the right; ``width``: characters of a line, None for no limit."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for number, title in enumerate(found.columns):
        numeric = all(_is_number(row[number]) or row[number] is None for row in found.rows)
        table.add_column(Text(printable(title)), justify="right" if numeric and found.rows else "left", overflow="fold")
    for row in found.rows:
        table.add_row(*(Text(_as_cell(value)) for value in row))
    stream = io.StringIO()
    Console(file=stream, width=width or WIDEST, markup=False, emoji=False, color_system=None).print(table)
    return "".join(line.rstrip() + "\n" for line in stream.getvalue().splitlines())


def as_csv(found: Found) -> str:
    """CSV (RFC 4180) with a header. Null is empty; text that a spreadsheet would take for a formula gets a quote."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(_inert(name) for name in found.columns)
    for row in found.rows:
        writer.writerow(_inert(value) for value in row)
    return stream.getvalue()


def as_json(found: Found, *, ascii_only: bool = False) -> str:
    """A JSON array with an object for each row. Not-a-number and infinity, which JSON lacks, become null.

    ``ascii_only``: write all other characters as escapes of JSON.
    """
    rows = [
        {
            name: json.loads(value) if nested and isinstance(value, str) else _plain(value)
            for name, nested, value in zip(found.columns, found.nested, row, strict=True)
        }
        for row in found.rows
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in rows)
    return f"[\n{lines}\n]\n" if rows else "[]\n"


FORMATS: dict[str, Callable[[Found], str]] = {"table": as_table, "csv": as_csv, "json": as_json}


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _as_cell(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else printable(str(value))


def _inert(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    harmless = _is_number(value) and math.isfinite(value)  # type: ignore[arg-type]
    return text if harmless or not text.startswith(_FORMULA_STARTS) else f"'{text}"


def _plain(value: Value) -> bool | int | float | str | None:
    number = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(number, float) and not math.isfinite(number) else number
