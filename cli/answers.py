"""Rows of a query as text for programs: CSV that a spreadsheet may open, JSON. Numbers are exact."""

import csv
import io
import json
import math
from decimal import Decimal

from pipeline.inspection.query import Found, Value

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet would compute (OWASP, "CSV Injection"); the last four are full-width forms."""


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
    lines = ",\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in as_objects(found))
    return f"[\n{lines}\n]\n" if found.rows else "[]\n"


def as_objects(found: Found) -> list[dict[str, object]]:
    """The rows as JSON has them: not-a-number and infinity are None, nested values are lists and objects."""
    return [
        {
            name: json.loads(value) if nested and isinstance(value, str) else _plain(value)
            for name, nested, value in zip(found.columns, found.nested, row, strict=True)
        }
        for row in found.rows
    ]


def is_number(value: Value) -> bool:
    """Whether a value is a number; a truth value is none."""
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _inert(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    harmless = is_number(value) and math.isfinite(value)  # type: ignore[arg-type]
    return text if harmless or not text.startswith(_FORMULA_STARTS) else f"'{text}"


def _plain(value: Value) -> bool | int | float | str | None:
    number = float(value) if isinstance(value, Decimal) else value
    return None if isinstance(number, float) and not math.isfinite(number) else number
