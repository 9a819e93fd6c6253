"""Names of what runs make: their ids and folders, and the files beside the data of a version."""

import re
import time
import uuid
from pathlib import Path

from pipeline.errors import ConfigError

RUN_RECORD = "run.json"
GEO_RECORD = "geo.json"
"""How addresses became regions; see ``publish.run_record.write_geo``."""
REPORT = "report.html"
_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


def new_run_id() -> str:
    """When the run began, and what tells it from others of that second."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def is_run_folder(path: Path, prefix: str = "") -> bool:
    """Whether ``path`` is a folder that a run made: named ``prefix`` and the run's id, and no link."""
    named = path.name.startswith(prefix) and _RUN_ID.fullmatch(path.name.removeprefix(prefix))
    return bool(named) and path.is_dir() and not path.is_symlink()


def make_own(folder: Path, option: str, mode: int = 0o777) -> None:
    """Make a folder below the one that ``option`` names. Raises ConfigError where a link stands there: it may lead out
    of that folder."""
    if folder.is_symlink():
        raise ConfigError(
            f"{str(folder)!r} is a link, and Logmill writes only where it was told to. Remove the link, or name the "
            f"place that it leads to with {option}."
        )
    folder.mkdir(parents=True, exist_ok=True, mode=mode)
