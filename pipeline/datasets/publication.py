"""Publishes a version of a job: its tables, quarantine and record become visible at once.

On a storage, the version's extracts and the list of forgotten people go with it, so that any machine can make the next
version. Clear values of hidden columns, and the key, stay on the machine that extracted them.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.state import JobState, read_state, states_to_json
from pipeline.machine import link_or_copy
from pipeline.sources.forgotten import SHARED_FILES
from pipeline.versions.folders import RUN_RECORD
from pipeline.versions.output_link import Output


def publish(
    output: Output, folder: Path, state: JobState, record: Mapping[str, Any], bronze: Path,
    rejects: Mapping[str, Sequence[str]], keep: int,
) -> None:  # fmt: skip
    """Complete the version in ``folder`` and make it the current one.

    ``rejects``: by table, the files of rows that checks rejected. Those of sources lie in ``bronze``.
    """
    _write_quarantine(folder, state, bronze, rejects)
    shutil.rmtree(folder / "work")
    text = json.dumps({**record, "states": states_to_json(state.sources, state.tables)}, indent=1)
    (folder / RUN_RECORD).write_text(text, encoding="utf-8")
    output.publish(folder, state.run_id, keep, lambda _: extracts_of(state, bronze))


def catch_up(output: Output, bronze: Path) -> None:
    """Let bronze on this machine go on from the version that the output shows, whoever published it."""

    def has_extracts(version: str) -> bool:
        state = read_state(output, version)
        return state is not None and all(path.exists() for path in extracts_of(state, bronze).values())

    output.catch_up(bronze, has_extracts)
    output.take_shared(bronze, SHARED_FILES)


def extracts_of(state: JobState, bronze: Path) -> dict[str, Path]:
    """The files of the extracts that a version is made of, by their names below bronze."""
    names = [
        f"{file.folder}/{part}"
        for source in state.sources.values()
        for file in source.files
        for part in (*file.parts, *file.rejects)
    ]
    return {name: bronze / name for name in names}


def _write_quarantine(folder: Path, state: JobState, bronze: Path, rejects: Mapping[str, Sequence[str]]) -> None:
    """Only the owner may enter it, because rows hold personal data."""
    quarantine = folder / "quarantine"
    quarantine.mkdir(mode=0o700)
    found = {
        **{
            name: [str(bronze / file.folder / part) for file in source.files for part in file.rejects]
            for name, source in state.sources.items()
        },
        **rejects,
    }
    for name, files in found.items():
        for number, file in enumerate(files):
            place = quarantine / name / f"{number:05d}.parquet"
            place.parent.mkdir(exist_ok=True, mode=0o700)
            link_or_copy(file, place)
