"""The user's cache folder: what is made once on a machine, and can be made again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where compiled geo tables, the compiled parser and Spark's archive go, by the platform's custom."""
    base = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME")
    return Path(base) / "logmill" if base else Path.home() / ".cache" / "logmill"
