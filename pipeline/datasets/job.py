"""A job: the sources and data sets of some modules, in the order in which they are made."""

import copy
import difflib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from pipeline.datasets.alerts import ALERT_SETTINGS, check_alert_settings
from pipeline.datasets.checks import Check
from pipeline.datasets.dataset import DataSet
from pipeline.datasets.lineage_settings import LINEAGE_SETTINGS, check_lineage_settings
from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError, InputError, program_name
from pipeline.machine import PROJECT, folder_at_hand
from pipeline.sources.contract import SOURCE_FACTS, Contract
from pipeline.sources.source import Source

JOBS = PROJECT / "jobs"
COMMON_SETTINGS: Mapping[str, Setting] = {**ALERT_SETTINGS, **LINEAGE_SETTINGS}
"""Settings of every job with their defaults, by which no table is made."""
SettingsCheck = Callable[[Mapping[str, Setting]], None]
_FORMAT = 1
"""Raised when tables of the same job would be made otherwise than before."""


@dataclass(frozen=True, init=False)
class Job:
    """The sources and data sets that ``modules`` have, by their names.

    ``settings``: names and defaults of the job's own settings, which transforms get as ``settings``.
    ``environments``: by the name of an environment its other defaults. ``check_settings``: raises ConfigError where all
    of them together are wrong. ``personal``: how classes of personal data are hidden (hash, encrypt, cut, drop, keep),
    which are hashed otherwise. ``daily``: the gold tables of a run lie below the day of its as-of (UTC), and those of
    other days stay as they are. ``output``: name of the folder that it publishes where it is told no other.

    Raises ConfigError where names or inputs contradict each other.
    """

    name: str
    folder: Path
    sources: Mapping[str, Source]
    datasets: Mapping[str, DataSet]
    settings: Mapping[str, Setting] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, Setting]] = field(default_factory=dict)
    check_settings: SettingsCheck | None = None
    personal: Mapping[str, str] = field(default_factory=dict)
    daily: bool = False
    output: str = "output"

    def __init__(
        self,
        *modules: ModuleType,
        settings: Mapping[str, Setting] | None = None,
        environments: Mapping[str, Mapping[str, Setting]] | None = None,
        check_settings: SettingsCheck | None = None,
        personal: Mapping[str, str] | None = None,
        daily: bool = False,
        output: str = "output",
    ) -> None:
        if not modules:
            raise ConfigError("a job needs modules with sources and data sets: Job(sources, gold)")
        folder = Path(str(modules[0].__file__)).parent
        members = {name: value for module in modules for name, value in vars(module).items()}
        sources = {name: value for name, value in members.items() if isinstance(value, Source)}
        datasets = {value.name: value for value in members.values() if isinstance(value, DataSet)}
        facts = {
            "name": folder.name, "folder": folder, "sources": MappingProxyType(sources),
            "datasets": _in_order(sources, datasets),
            "settings": MappingProxyType({**COMMON_SETTINGS, **(settings or {})}),
            "environments": MappingProxyType(dict(environments or {})),
            "check_settings": check_settings,
            "personal": MappingProxyType(dict(personal or {})),
            "daily": daily,
            "output": output,
        }  # fmt: skip
        for name, value in facts.items():
            object.__setattr__(self, name, value)
        self._check_datasets()

    def _check_datasets(self) -> None:
        """Raise ConfigError where inputs lack a column that is read, keyed ones have ``by`` in several types, or a
        reference compares types whose values are never equal."""
        for one in self.datasets.values():
            for check in one.checks:
                if unknown := [name for name in check.settings if name not in self.settings]:
                    raise ConfigError(
                        f"data set {one.name}: {check.name} names {unknown[0]!r}, which is no setting of the job"
                    )
            if one.partition_setting and one.partition_setting not in self.settings:
                raise ConfigError(
                    f"data set {one.name}: partition_setting names {one.partition_setting!r}, which is no setting of "
                    "the job"
                )
            kinds: dict[str, dict[str, str]] = {}
            for name, columns in {**one.keyed, **one.whole}.items():
                known, by = self.columns_of(name), one.by if name in one.keyed else ()
                if missing := [column for column in (*columns, *by) if column not in known]:
                    raise ConfigError(
                        f"data set {one.name}: the input {name} has no column {missing[0]}. It has {', '.join(known)}."
                    )
                source = self.sources.get(name)
                if source and not source.snapshots and (of_run := {"_extracted_at", "_run"}.intersection(columns)):
                    raise ConfigError(
                        f"data set {one.name} reads {min(of_run)} of the source {name}, which keeps no snapshots: it "
                        "says when a file was first seen, so that the same files would give other tables where all "
                        "come at once. Read _source, the name of the file, or let the source have snapshots=True."
                    )
                for column in by:
                    kinds.setdefault(column, {})[name] = known[column]
            for name, columns in one.lookup.items():
                if not any(set(columns) <= set(self._read_by(one, keyed)) for keyed in one.keyed):
                    raise ConfigError(
                        f"data set {one.name}: the lookup {name} goes by {', '.join(columns)}, which no keyed input "
                        f"has among the columns that are read ({', '.join(one.keyed)}), so that nothing says which "
                        f"rows a change of {name} affects. Let a keyed input have it, or take {name} out of lookup."
                    )
            for column, found in kinds.items():
                if len(set(found.values())) > 1:
                    told = ", ".join(f"{kind} in {name}" for name, kind in found.items())
                    raise ConfigError(f"data set {one.name}: by {column} is {told}. Give it one type in all inputs.")
            for check in one.checks:
                if check.kind == "reference":
                    self._check_reference(one, check)

    def _check_reference(self, one: DataSet, check: Check) -> None:
        (name, *_), (table, column) = check.columns, check.to
        columns = one.contract.columns.get(name), self._contract(table).columns.get(column)
        types = [found.dtype for found in columns if found]
        exact = all(kind.is_integer() or kind.is_decimal() for kind in types)
        if len(types) == 2 and types[0] != types[1] and not exact:
            raise ConfigError(
                f"data set {one.name}: {check.name} compares {types[0]} ({name}) with {types[1]} ({table}.{column}). "
                "Give both columns one type."
            )

    def _contract(self, name: str) -> type[Contract]:
        """The contract of a source or data set."""
        return (self.sources[name] if name in self.sources else self.datasets[name]).contract

    def _read_by(self, one: DataSet, name: str) -> Iterable[str]:
        """The columns of an input's contract that a data set reads."""
        known = self._contract(name).columns
        return [column for column in known if column in (one.keyed[name] or known)]

    def columns_of(self, name: str) -> dict[str, str]:
        """The columns of a source or data set, and the names of their types."""
        columns = {**self._contract(name).schema(), **(SOURCE_FACTS if name in self.sources else {})}
        return {column: str(kind) for column, kind in columns.items()}

    def with_settings(self, given: Mapping[str, Setting]) -> dict[str, Setting]:
        """The defaults of the job with those settings that are ``given``. Raises ConfigError where they are wrong."""
        found = {**self.settings, **given}
        check_alert_settings(found)
        check_lineage_settings(found)
        if self.check_settings:
            self.check_settings(found)
        return found

    def own(self, settings: Mapping[str, Setting]) -> dict[str, Setting]:
        """The settings by which tables are made and judged, of all that the job has: not those of all jobs, unless a
        check names one."""
        named = {name for one in self.datasets.values() for check in one.checks for name in check.settings}
        others = COMMON_SETTINGS.keys() - named
        return {name: value for name, value in settings.items() if name not in others}

    def under(self, settings: Mapping[str, Setting]) -> "Job":
        """This job with the checks that its settings choose. Raises ConfigError where a check cannot use one."""
        found = copy.copy(self)
        datasets = {name: one.under(settings) for name, one in self.datasets.items()}
        object.__setattr__(found, "datasets", MappingProxyType(datasets))
        return found

    def named(self, names: Mapping[str, str]) -> "Job":
        """This job with other tables and columns of sources: ``{"orders": "shop.order_header", "orders.ordered_at":
        "placed_on"}``. Raises ConfigError where there is no such source or column."""
        found = copy.copy(self)
        sources = dict(self.sources)
        for name, called in names.items():
            source, _, column = name.partition(".")
            if source not in sources:
                raise ConfigError(f"names: there is no source {_or_similar(source, sources)}")
            contract = sources[source].contract
            if not column:
                sources[source] = replace(sources[source], table=called)
            elif column in contract.columns:
                sources[source] = replace(sources[source], contract=contract.renamed(column, called))
            else:
                raise ConfigError(f"names: the source {source} has no column {_or_similar(column, contract.columns)}")
        object.__setattr__(found, "sources", MappingProxyType(sources))
        return found

    @property
    def description(self) -> str:
        """The first line of the docstring of the job's package."""
        return describe(self.folder)

    @property
    def fingerprint(self) -> str:
        """Changes with any code of the job but its demo, and with the versions of what computes."""
        import polars

        text = hashlib.blake2b(f"{_FORMAT} {polars.__version__}".encode(), digest_size=16)
        for path in sorted(self.folder.rglob("*.py")):
            if path.name != "demo.py":
                text.update(path.relative_to(self.folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
        return text.hexdigest()

    def made_with(self, one: DataSet, settings: Mapping[str, Setting]) -> str:
        """What decides how a table is made of its inputs: the code, the job's own settings where it gets them, and
        which of its checks remove rows or fill them."""
        given = repr(sorted(settings.items())) if "settings" in one.parameters else ""
        shapes = {check.name: str(check.action) for check in one.checks if check.removes}
        shapes |= {check.name: f"fill:{check.value}" for check in one.checks if check.fills}
        chosen = f" {one.partition_by}" if one.partition_setting else ""
        return f"{self.fingerprint} {given} {shapes}{chosen}"

    def needed(self, only: tuple[str, ...]) -> dict[str, DataSet]:
        """The data sets ``only``, and those that they are made of, in order; all where none is named."""
        if unknown := [name for name in only if name not in self.datasets]:
            raise ConfigError(f"there is no data set {_or_similar(unknown[0], self.datasets)}")
        wanted = set(only or self.datasets)
        for one in reversed(list(self.datasets.values())):
            if one.name in wanted:
                wanted.update((*one.inputs, *one.references))
        return {name: one for name, one in self.datasets.items() if name in wanted}


def _in_order(sources: Mapping[str, Source], datasets: Mapping[str, DataSet]) -> Mapping[str, DataSet]:
    """Data sets after their inputs. Raises ConfigError where an input is unknown, or they go in a circle."""
    if twice := [name for name in datasets if name in sources]:
        raise ConfigError(f"{twice[0]} is the name of a source and of a data set. Rename one of them.")
    needs = {}
    for one in datasets.values():
        needed = dict.fromkeys((*one.inputs, *one.references))
        if unknown := [name for name in needed if name not in datasets and name not in sources]:
            known = [*sources, *datasets]
            raise ConfigError(f"data set {one.name}: there is no source or data set {_or_similar(unknown[0], known)}")
        needs[one.name] = [name for name in needed if name in datasets]
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as circle:
        raise ConfigError(f"data sets need each other: {' <- '.join(circle.args[1])}. Break the circle.") from None
    return MappingProxyType({name: datasets[name] for name in order})


def _or_similar(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"{name!r}. Did you mean {close[0]}?" if close else f"{name!r}. There are {', '.join(known)}."


def list_jobs() -> dict[str, str]:
    """The jobs of this program by name, with their descriptions. Loads none of them.

    A name has - where the package has _, which is what Python can import.
    """
    return {path.parent.name.replace("_", "-"): describe(path.parent) for path in sorted(JOBS.glob("*/__init__.py"))}


def describe(folder: Path) -> str:
    """The first line of the docstring of a package, without loading it."""
    import ast

    try:
        return (ast.get_docstring(ast.parse((folder / "__init__.py").read_bytes())) or "").partition("\n")[0]
    except (OSError, SyntaxError, ValueError):
        return ""


def find_job(name: str) -> Path:
    """The folder of a job: of this program by its name, or a user's own by its path. Raises InputError."""
    folder = Path(name).absolute() if "/" in name or name in (".", "..") else JOBS / name
    if not folder.exists() and folder.parent == JOBS:
        folder = JOBS / name.replace("-", "_")
    if not (folder / "__init__.py").is_file():
        raise InputError(
            f"there is no job {name!r}: expected a folder with __init__.py. Jobs are {', '.join(list_jobs())}; one of "
            f"yours goes by its path, such as ./my_job; {program_name()} job new NAME makes one."
        )
    return folder.resolve()


@lru_cache
def load_job(folder: str) -> Job:
    """Load the job in a folder, once in each process. Raises ConfigError where its code fails, with file and line."""
    path = folder_at_hand(folder)
    name = f"logmill_jobs.{path.name}_{hashlib.blake2b(folder.encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path / "__init__.py", submodule_search_locations=[str(path)])
    if spec is None or spec.loader is None:
        raise ConfigError(f"{folder} cannot be loaded as a package")
    package = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("logmill_jobs", ModuleType("logmill_jobs"))
    sys.modules[name] = package
    try:
        spec.loader.exec_module(package)
    except ConfigError as fault:
        raise ConfigError(f"{_place(fault, folder)}: {fault}") from fault
    except Exception as fault:
        raise ConfigError(f"{_place(fault, folder)}: {type(fault).__name__}: {fault}. Correct the job.") from fault
    job = getattr(package, "job", None)
    if not isinstance(job, Job):
        raise ConfigError(f"{path / '__init__.py'} has no job = Job(...). Add the line.")
    return job


def _place(fault: BaseException, folder: str) -> str:
    """File and line of the job that a fault came from."""
    if isinstance(fault, SyntaxError) and fault.filename:
        return f"{fault.filename}:{fault.lineno}"
    frames = [frame for frame in traceback.extract_tb(fault.__traceback__) if frame.filename.startswith(folder)]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else folder
