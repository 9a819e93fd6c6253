"""How far runs read the tables of a database that found nothing new: they publish no version that would say it.

Without it the next run would read again from where the last version ended, and compare keys that are not due.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.datasets.state import JobState, SourceState
from pipeline.machine import sync

_FILE = "positions.json"


def save_positions(bronze: Path, version: str, sources: Mapping[str, SourceState]) -> None:
    """Note how far tables were read by a run that found what ``version`` has."""
    positions = {name: dict(source.position) for name, source in sources.items() if source.position}
    if positions:
        fresh = bronze / f".{_FILE}"
        fresh.write_text(json.dumps({"version": version, "positions": positions}), encoding="utf-8")
        sync(fresh)
        fresh.replace(bronze / _FILE)


def with_positions(state: JobState | None, bronze: Path) -> JobState | None:
    """A version with how far its tables are read by now."""
    if state is None or not (bronze / _FILE).exists():
        return state
    noted = json.loads((bronze / _FILE).read_text(encoding="utf-8"))
    if noted["version"] != state.run_id:
        return state
    sources = {
        name: replace(source, position=noted["positions"].get(name, source.position))
        for name, source in state.sources.items()
    }
    return replace(state, sources=sources)
