"""Logmill from Python: notebooks, schedulers, tests. ``run`` processes logs, ``query`` asks the published result.

Settings are those of the command line: arguments of the call win over ``LOGMILL_`` variables, and both win over the
file of ``config``. Nothing is printed unless ``progress`` is true.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config import Config, load_config
from pipeline.errors import ConfigError, LogmillError
from pipeline.planning.run_options import RunOptions
from pipeline.publish.result import RunResult

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LogmillError", "Result", "RunFailed", "query", "run"]

COLUMNS = "geo_region", "user_id", "total_watch_time_min", "event_count"
ALL_ROWS = 1_000_000_000
GUARD = """\
this script starts worker processes, which import it again: expected the call of run() in a block \
`if __name__ == "__main__":`, found it in line {line} of {file} outside of one. Write:

    if __name__ == "__main__":
        result = run(...)
"""


@dataclass(frozen=True)
class Result:
    """A run that published its result, or found that nothing has changed.

    ============  ==================================================================================
    ``status``    ``ok``, or ``partial`` where some files were refused
    ``version``   name of the published version
    ``changed``   whether the run published that version; False where nothing was new
    ``path``      folder with the Parquet files of the version, in which nothing ever changes
    ``report``    ``report.html`` of the version
    ``record``    what ``--json`` prints: counts, times, refused files, notes
    ============  ==================================================================================
    """

    status: str
    version: str
    changed: bool
    path: Path
    report: Path
    record: dict[str, Any]

    def to_polars(self) -> pl.DataFrame:
        """The result: ``geo_region`` (String), ``user_id`` (String), ``total_watch_time_min`` (Float64, minutes),
        ``event_count`` (Int64). A version is kept until ``KEEP_VERSIONS`` newer ones are published; then reading it
        raises FileNotFoundError."""
        import polars as pl

        frame = pl.read_parquet(self.path, hive_partitioning=True, hive_schema={"geo_region": pl.String})
        return frame.select(COLUMNS)


class RunFailed(LogmillError):
    """A run ended without publishing anything: every file was refused, or a quality gate stopped it.

    ``record``: what ``--json`` prints, with the refused files and the gates; ``exit_code``: that of the command line.
    """

    def __init__(self, result: RunResult, exit_code: int) -> None:
        super().__init__(result.error or "the run failed")
        self.record = result.to_json()
        self.exit_code = exit_code


def run(
    input: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    workers: int | None = None,
    memory_limit: str | int | None = None,
    intermediate: str | os.PathLike[str] | None = None,
    engine: str | None = None,
    config: str | os.PathLike[str] | None = None,
    replay: Sequence[str | os.PathLike[str]] = (),
    full_refresh: bool = False,
    add: bool = False,
    prune_missing: bool = False,
    progress: bool = False,
    **settings: object,
) -> Result:
    """Process logs into a new published version, as ``logmill run`` does; returns the result.

    Args:
        input: a folder, a file or a glob.
        output: where the result is published.
        workers: worker processes.
        memory_limit: for all processes together, such as ``"8GB"``, or bytes.
        intermediate: the folder for files between the phases.
        engine: ``auto``, ``spark`` or ``polars``.
        config: a TOML file with settings; none is read unless it is named.
        replay: files of corrected records, which count from now on.
        full_refresh: start over: only the files of this input count.
        add: count this input besides the one before.
        prune_missing: files that are no longer there no longer count.
        progress: show progress on stderr.
        settings: any other setting by its name in config.py, such as ``GEO_LEVEL="country"``.

    Raises:
        ConfigError: an invalid setting, or no ``__main__`` guard in a script.
        RunFailed: nothing was published, because no file counts or a gate stopped the run.
        LogmillError: any other failure that its message explains.
    """
    _require_guard()
    given = {
        "INPUT_DIR": input, "OUTPUT_DIR": output, "INTERMEDIATE_DIR": intermediate, "ENGINE": engine,
        "PREPROCESSING_WORKERS": workers, "MEMORY_LIMIT": memory_limit,
    }  # fmt: skip
    chosen = _read_config(given | settings, config)
    options = RunOptions(tuple(os.fspath(name) for name in replay), full_refresh, add, prune_missing)
    from cli.run import run_pipeline

    with _process_kept():
        return _make_result(run_pipeline(chosen, options, quiet=not progress))


def query(
    sql: str,
    output: str | os.PathLike[str] | None = None,
    *,
    limit: int = ALL_ROWS,
    timeout: int | None = None,
    config: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """Ask the published result in SQL, read-only; the views are those of ``logmill query``.

    Args:
        sql: one query, such as ``"FROM user_totals"``.
        output: where the result is published.
        limit: rows that are returned at most.
        timeout: seconds that the query may take (QUERY_SECONDS).
        config: a TOML file with settings.

    Raises:
        ConfigError: the SQL is wrong, or the query reached a limit.
        InputError: nothing is published.
    """
    from pipeline.inspection.query import ask_frame

    given = {"OUTPUT_DIR": output, "QUERY_SECONDS": timeout, "QUERY_ROWS": limit}
    return ask_frame(_read_config(given, config), sql)


def _read_config(given: Mapping[str, object], config: str | os.PathLike[str] | None) -> Config:
    raw = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in given.items()
        if value is not None
    }
    try:
        return load_config(raw, os.environ, Path(config) if config is not None else None)
    except ConfigError as fault:
        raise ConfigError(re.sub("^--[a-z-]+", _argument, str(fault))) from None


def _argument(option: re.Match[str]) -> str:
    """The argument of ``run`` for an option of the command line."""
    return option[0].lstrip("-").replace("-", "_")


def _make_result(result: RunResult) -> Result:
    from cli.result import exit_code
    from pipeline.versions.catalog import data_folder

    if result.status == "failed":
        raise RunFailed(result, exit_code(result))
    path = data_folder(result.output, result.version)
    return Result(
        status=result.status,
        version=result.version,
        changed=not result.unchanged,
        path=path,
        report=path.parent / "report.html",
        record=result.to_json(),
    )


@contextlib.contextmanager
def _process_kept() -> Iterator[None]:
    """Give the caller's process its variables back, which would slow down a Polars that is loaded later, and have the
    collection of garbage see all objects again. Meanwhile a program that is no file, such as one that Python reads from
    stdin, has no ``__file__``, which workers would look for."""
    import polars  # noqa: F401 - with the caller's number of threads

    before, main = dict(os.environ), vars(sys.modules["__main__"])
    file = main.get("__file__")
    is_script = file is None or os.path.exists(file)
    if not is_script:
        del main["__file__"]
    try:
        yield
    finally:
        if not is_script:
            main["__file__"] = file
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        gc.unfreeze()


def _require_guard() -> None:
    """Raise ConfigError where a script calls ``run`` outside of ``if __name__ == "__main__"``.

    Worker processes import a script again, and would begin to run it. Notebooks, interactive sessions, programs from
    stdin and ``python -m package`` have no script that they could import.
    """
    main = sys.modules.get("__main__")
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or not os.path.exists(file) or (spec is not None and spec.name.endswith("__main__")):
        return
    line = _line_of_script(os.path.abspath(file))
    if line is not None and not _is_guarded(file, line):
        raise ConfigError(GUARD.format(line=line, file=os.path.basename(file)))


def _line_of_script(file: str) -> int | None:
    """The line at which the script is that this call comes from; None where it comes from elsewhere."""
    frame = sys._getframe()
    while frame is not None:
        code = frame.f_code
        if code.co_name == "<module>" and os.path.abspath(code.co_filename) == file:
            return frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _is_guarded(file: str, line: int) -> bool:
    """Whether a line of a script stands under a condition on ``__name__``; also where the script cannot be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return True
    for node in tree.body:
        if isinstance(node, ast.If) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or line):
            return any(isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(node.test))
    return False
