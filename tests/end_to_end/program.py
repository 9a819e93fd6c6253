"""The real command line in a process of its own, and what its results are compared with."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from tests.pace import patient

ROOT = Path(__file__).parents[2]
HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
LIMIT_SECONDS = 180
"""A program that takes longer on a quiet machine hangs; ten thousand files take 45 s on two free cores."""
JSON_KEYS = [
    "run_id", "status", "error", "engine", "files", "refused_files", "bytes_read", "records_read", "kept",
    "duplicates", "conflicts", "rejected", "rejected_by_reason", "output_rows", "users", "total_watch_time_min",
    "seconds", "peak_memory_bytes", "throughput_bytes_per_second", "output",
    "duplicates_phase1", "duplicates_phase2", "handed_over", "blank_lines", "preamble_lines",
    "unreadable_timestamps",
    "quality", "new", "published", "skipped_files", "publication", "version", "report", "quarantine", "notes", "plan",
    "engine_note",
]  # fmt: skip

Rows = list[tuple[str, str, float, int]]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict:
        """The object of ``--json``: stdout must hold exactly one, with exactly the promised keys."""
        found = json.loads(self.out)
        assert list(found) == JSON_KEYS
        assert list(found["seconds"]) == ["total", "phase1", "phase2", "publish"]
        return found


def environment(**settings: object) -> dict[str, str]:
    """This environment without Logmill's settings, plus the given ones; capitals are settings of Logmill."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LOGMILL_")}
    return kept | {f"LOGMILL_{name}": str(value) for name, value in settings.items()}


def start(
    *arguments: object, cwd: Path, env: dict[str, str] | None = None, under: Sequence[str] = ()
) -> subprocess.Popen:
    """Start ``python main.py`` in a folder, ``under`` a command that starts others."""
    return subprocess.Popen(
        [*under, sys.executable, str(ROOT / "main.py"), *map(str, arguments)],
        cwd=cwd,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments: object, cwd: Path, env: dict[str, str] | None = None, under: Sequence[str] = ()) -> Ended:
    """Run ``python main.py`` to its end."""
    return finish(start(*arguments, cwd=cwd, env=env, under=under))


def finish(program: subprocess.Popen, seconds: float = LIMIT_SECONDS) -> Ended:
    """Wait for its end. ``seconds``: when it hangs, on a quiet machine."""
    try:
        out, err = program.communicate(timeout=patient(seconds))
    except subprocess.TimeoutExpired:
        program.kill()
        program.communicate()  # or what is left of it fails a later test
        raise
    # A worker that was starting when its parent was killed says so; nothing else may show a traceback.
    assert program.returncode == -signal.SIGKILL or "Traceback" not in err, err
    return Ended(program.returncode, out, err)


def run_json(
    *arguments: object, cwd: Path, env: dict[str, str] | None = None, code: int = 0, under: Sequence[str] = ()
) -> dict:
    """Run with the embedded engine and ``--json``, and check the exit code."""
    ended = run("--engine", "polars", "--json", *arguments, cwd=cwd, env=env, under=under)
    assert ended.code == code, ended.err
    return ended.answer


def published(folder: Path) -> Rows:
    """The result below ``folder``/pipeline_data/output, sorted, as DuckDB reads it."""
    return read_result(folder / "pipeline_data" / "output")


def read_result(output: Path) -> Rows:
    with duckdb.connect() as database:
        return database.execute(
            "select geo_region::varchar, user_id, total_watch_time_min, event_count "
            f"from read_parquet('{output}/*/*.parquet', hive_partitioning = true) order by all"
        ).fetchall()


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    """``seconds``: when it hangs, on a quiet machine."""
    until = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < until, "what was waited for did not happen"
        time.sleep(0.01)


def compute_independently(logs: Sequence[Path], region_of: dict[str, str]) -> tuple[Rows, dict[str, int]]:
    """The job in one statement of DuckDB, in exact integers, for files without malformed records.

    Returns the sorted rows of the result, and the counts kept, duplicates and conflicts.
    """
    with duckdb.connect() as database:
        names = ", ".join(f"'{path}'" for path in logs)
        database.register("geo", pl.DataFrame({"ip": list(region_of), "region": list(region_of.values())}).to_arrow())
        database.execute(
            f"""create table events as
                select log_id, user_id, region,
                  round_even("watch_time(min)"::decimal(30, 12) * 1000000, 0)::bigint micro
                from read_csv([{names}], header = true, all_varchar = true) logs
                join geo on geo.ip is not distinct from logs.ip_address"""
        )
        database.execute(
            """create table contents as
               select log_id, user_id, region, micro, count(*) copies,
                 row_number() over (partition by log_id order by micro desc, user_id, region) place
               from events group by log_id, user_id, region, micro"""
        )
        kept, duplicates, conflicts = database.execute(
            "select count(*) filter (place = 1), sum(copies) - count(*), count(*) filter (place > 1) from contents"
        ).fetchone()
        rows = database.execute(
            """select region, user_id, sum(micro)::bigint / 1e6, count(*) from contents where place = 1
               group by all order by all"""
        ).fetchall()
    return rows, {"kept": kept, "duplicates": int(duplicates), "conflicts": conflicts}
