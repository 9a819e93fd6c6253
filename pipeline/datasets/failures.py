"""Turns what fails in a transform into a message: data set, line of the author's function, bucket, values of ``by``."""

import re
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any

import polars as pl

from pipeline.datasets.dataset import DataSet
from pipeline.datasets.tasks import TransformTask
from pipeline.errors import LogmillError

_SHOWN_VALUES = 3
_OPEN_KINDS = (
    *(pl.exceptions.ColumnNotFoundError, pl.exceptions.SchemaError, pl.exceptions.DuplicateError),
    *(pl.exceptions.ShapeError, pl.exceptions.StructFieldNotFoundError),
    *(AttributeError, NameError, TypeError, KeyError, ImportError),
)
"""Errors whose messages name columns and types, and never values of rows."""
_NOT_UNIQUE = re.compile(r"^join keys did not fulfill (m:1|1:m|1:1) validation")
"""What Polars says of a join whose keys are not unique where ``validate`` says that they are."""
_TOO_LARGE = re.compile(r"^conversion from `i128` to `i64` failed")
"""What Polars says of a sum or product of ``exact_sum`` and ``exact_product`` that does not fit."""


class TransformError(LogmillError):
    """A transform failed, or its result is not what it declares."""


@contextmanager
def explained(one: DataSet, task: TransformTask, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Raise TransformError for what fails in the block, which calls the transform with ``inputs`` and collects it."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as fault:
        line = _line(one, fault) or _find_line(one, inputs)
        where = f" bucket {task.bucket} of {task.buckets}" if task.buckets > 1 else " all rows"
        values = "" if isinstance(fault, LogmillError) else _values(one, inputs)
        about = f", {' and '.join(one.by)} {values}" if values else ""
        raise TransformError(
            f"data set {one.name} failed at {line}, in{where}{about}: {_told(fault)}. Nothing was published. Correct "
            "the transform or what it reads, and run again."
        ) from fault


def _told(fault: Exception) -> str:
    """The kind of an error; its message too, where the message has no values of rows."""
    if isinstance(fault, LogmillError):
        return str(fault).rstrip(".")
    kind = type(fault).__name__
    if found := _NOT_UNIQUE.search(str(fault)):
        return f"several rows have a key that is to be unique in a join (validate={found[1]!r})"
    if _TOO_LARGE.search(str(fault)):
        return "a sum or product does not fit into 64 bits"
    if not isinstance(fault, _OPEN_KINDS):
        return f"{kind} (--debug shows the message, which may have values of rows)"
    return f"{kind}: {str(fault).partition(chr(10))[0].rstrip('.')}"


def _line(one: DataSet, fault: Exception) -> str | None:
    """File and innermost line of the author's module on the way to the fault."""
    file = one.function.__code__.co_filename
    lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == file]
    return f"{file}:{lines[-1]}" if lines else None


def _find_line(one: DataSet, inputs: Mapping[str, Any]) -> str:
    """The line of the statement whose frame is the first that cannot be collected.

    A lazy frame fails when it is collected, far from the line that made it. The transform is called again, and each
    frame that a line of it leaves in a variable is collected.
    """
    code = one.function.__code__
    seen: set[int] = set()
    found: list[int] = []
    last = [code.co_firstlineno]

    def look(frame: FrameType) -> None:
        for value in list(frame.f_locals.values()):
            if isinstance(value, pl.LazyFrame) and id(value) not in seen:
                seen.add(id(value))
                try:
                    value.collect()
                except Exception:
                    found.append(last[0])
                    raise

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code is not code:
            return None
        if event in ("line", "return"):
            look(frame)
        if event == "line":
            last[0] = frame.f_lineno
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        one.function(**inputs).collect()
    except Exception:
        pass
    finally:
        sys.settrace(before)
    return f"{code.co_filename}:{(found or last)[0]}"


def _values(one: DataSet, inputs: Mapping[str, Any]) -> str:
    """Some values of ``by`` with which the transform fails, in brackets; those of sensitive columns are not shown."""
    if not one.by:
        return ""
    sensitive = [name for name in one.by if name in one.contract.columns and one.contract.columns[name].sensitive]
    if sensitive:
        return f"(values of {', '.join(sensitive)} are personal and not shown)"
    try:
        failing = _narrow(one, inputs)
    except Exception:
        return ""
    shown = "; ".join(", ".join(map(_shown, row)) for row in failing[:_SHOWN_VALUES])
    more = f" and {len(failing) - _SHOWN_VALUES:,} more" if len(failing) > _SHOWN_VALUES else ""
    return f"= {shown}{more}" if failing else ""


def _shown(value: object) -> str:
    return "null" if value is None else str(value)


def _narrow(one: DataSet, inputs: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """The values of ``by`` that fail: half of those that fail is tried again and again until a few are left."""
    values = pl.concat(inputs[name].select(one.by) for name in one.keyed).unique().sort(one.by).collect()

    def fails(part: pl.DataFrame) -> bool:
        some = {
            name: value.join(part.lazy(), on=one.by, how="semi", nulls_equal=True) if name in one.keyed else value
            for name, value in inputs.items()
        }
        return _raises(lambda: one.function(**some).collect())

    if not fails(values):
        return []
    while len(values) > 1:
        half = values.head(len(values) // 2)
        rest = values.slice(len(half))
        if fails(half):
            values = half
        elif fails(rest):
            values = rest
        else:
            break
    found: list[tuple[object, ...]] = values.rows()
    return found


def _raises(call: Callable[[], object]) -> bool:
    try:
        call()
    except Exception:
        return True
    return False
