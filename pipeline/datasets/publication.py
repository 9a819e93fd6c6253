"""Publishes a version of a job: its tables, quarantine and record become visible at once."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.state import JobState, states_to_json
from pipeline.machine import link_or_copy
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
    output.publish(folder, state.run_id, keep)


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
