"""What crosses to workers and executors pickles: every dataclass of every ``tasks.py`` and ``context.py``."""

import ast
import inspect
import pickle
import pkgutil
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

import pipeline
from pipeline.reading.header import Header
from pipeline.reading.header_changes import HeaderChange

SAMPLES: dict[Any, Callable[[], Any]] = {
    bool: lambda: True,
    int: lambda: 7,
    float: lambda: 1.5,
    str: lambda: "text é",
    bytes: lambda: b"\xff\x00",
    datetime: lambda: datetime(2026, 11, 30, 1, 2, 3, 4),
    Path: lambda: Path("folder") / "file",
    HeaderChange: lambda: HeaderChange(1, 2, build(Header)),
    Sequence[int]: lambda: array("I", [3, 4]),
}
CROSSING = ("tasks", "context")


def crossing_modules() -> list[ModuleType]:
    """The modules below ``pipeline`` whose dataclasses cross a process."""
    found = pkgutil.walk_packages(pipeline.__path__, "pipeline.")
    return [import_module(module.name) for module in found if module.name.rpartition(".")[2] in CROSSING]


def crossing_classes() -> list[type]:
    """The dataclasses that these modules define, in order of their names."""
    classes = [
        value
        for module in crossing_modules()
        for value in vars(module).values()
        if inspect.isclass(value) and is_dataclass(value) and value.__module__ == module.__name__
    ]
    return sorted(classes, key=full_name)


def full_name(kind: type) -> str:
    return f"{kind.__module__.removeprefix('pipeline.')}.{kind.__qualname__}"


def has_rows(kind: type) -> bool:
    """Whether its objects have an attribute ``rows``, as a field or as a property."""
    return hasattr(kind, "rows") or "rows" in {field.name for field in fields(kind)}


def build(kind: type) -> Any:
    """An instance with a value in every field, also in those with a default."""
    hints = get_type_hints(kind, localns=imported_names(kind))
    return kind(**{field.name: sample(hints[field.name], f"{kind.__name__}.{field.name}") for field in fields(kind)})


def imported_names(kind: type) -> dict[str, Any]:
    """The names that the module of ``kind`` imports, also those that it imports for type checkers only."""
    tree = ast.parse(inspect.getsource(sys.modules[kind.__module__]))
    return {
        name.asname or name.name: getattr(import_module(node.module), name.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for name in node.names
    }


def sample(hint: Any, where: str) -> Any:
    """A value of a type. Raises TypeError, naming the field, for a type that this factory does not know."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SAMPLES:
        return SAMPLES[hint]()
    if inspect.isclass(hint) and is_dataclass(hint):
        return build(hint)
    if inspect.isclass(hint) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return hint(*(sample(kind, where) for kind in get_type_hints(hint).values()))
    if origin is Literal:
        return arguments[0]
    if origin in (Union, UnionType):
        return sample(next(kind for kind in arguments if kind is not NoneType), where)
    if origin is tuple:
        kinds = (arguments[0], arguments[0]) if arguments[-1] is Ellipsis else arguments
        return tuple(sample(kind, where) for kind in kinds)
    if origin in (frozenset, set, list):
        return origin([sample(arguments[0], where)])
    if origin in (dict, Mapping):
        return {sample(arguments[0], where): sample(arguments[1], where)}
    raise TypeError(
        f"{where} has the type {hint}, for which this test cannot make a value. If such a value pickles and is small, "
        "add it to SAMPLES; otherwise let it not cross a process."
    )


@pytest.mark.parametrize("kind", crossing_classes(), ids=full_name)
def test_tasks_results_and_contexts_cross_a_process_unchanged(kind: type) -> None:
    value = build(kind)
    arrived = pickle.loads(pickle.dumps(value))
    assert type(arrived) is kind
    assert arrived == value
    names = [field.name for field in fields(value)]  # also fields that do not compare
    assert [getattr(arrived, name) for name in names] == [getattr(value, name) for name in names]


@pytest.mark.parametrize("kind", crossing_classes(), ids=full_name)
def test_they_cannot_be_changed_on_the_way(kind: type) -> None:
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [kind for kind in crossing_classes() if has_rows(kind)], ids=full_name)
def test_the_rows_of_a_task_are_its_share_of_the_progress(kind: type) -> None:
    """An engine adds up ``rows`` of all tasks (``Engine.map``)."""
    assert type(build(kind).rows) is int


def test_every_phase_has_tasks_and_a_context() -> None:
    names = {module.__name__ for module in crossing_modules()}
    assert names >= {
        f"pipeline.{phase}.{module}" for phase in ("preprocess", "aggregate", "publish") for module in CROSSING
    }


@dataclass(frozen=True)
class WithFunction:
    """A task that would not cross a process."""

    advance: Callable[[int], None]


def test_an_unknown_type_is_named_with_its_field() -> None:
    with pytest.raises(TypeError, match=r"WithFunction\.advance has the type .*Callable.*add it to SAMPLES"):
        build(WithFunction)
