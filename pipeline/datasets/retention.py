"""Removes from bronze what is older than the settings allow and no kept version needs."""

import shutil
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pipeline.datasets.state import JobState
from pipeline.sources.extracted import CLEAR
from pipeline.versions.folders import begin_of, is_run_id
from utils.units import format_count


def expire(bronze: Path, kept: Sequence[JobState], days: int, run_id: str) -> list[str]:
    """Remove extracts that no kept version is made of, and the clear values of all others, where both are older than
    ``days`` at the beginning of the run ``run_id``. Returns, for people, what stays and why.

    Tables are computed from hidden values, so that no run needs the clear ones while they are hidden in the same way.
    """
    if not days:
        return []
    limit = begin_of(run_id) - timedelta(days=days)
    needed: dict[str, list[JobState]] = {}
    for state in kept:
        for source in state.sources.values():
            for file in source.files:
                needed.setdefault(file.folder, []).append(state)
    open_rows: Counter[str] = Counter()
    for folder in sorted(bronze.glob("*/*")):
        name = folder.relative_to(bronze).as_posix()
        if not _is_older(folder.name, limit):
            continue
        if name not in needed:
            shutil.rmtree(folder)
        else:
            for path in folder.glob(f"{CLEAR}*"):
                path.unlink()
            open_rows[folder.parent.name] += any(_is_open(state, folder.parent.name) for state in needed[name])
    return [
        f"bronze keeps {format_count(count, 'extract')} of {source} beyond {days} days: a kept version needs them, "
        "and no class of personal data is hidden in them"
        for source, count in open_rows.items()
        if count
    ]


def _is_older(name: str, limit: datetime) -> bool:
    run_id = name.rpartition("-")[0]
    return is_run_id(run_id) and begin_of(run_id) < limit


def _is_open(state: JobState, source: str) -> bool:
    return not state.sources[source].protection
