"""Answers about a version, each asked once, because a version never changes. Reruns of the page keep them."""

import json
import os
from functools import lru_cache
from pathlib import Path
from threading import Lock

from config import Config, load_config
from pipeline.inspection.query import Found, ask

_LOCK = Lock()
"""One question at a time: DuckDB uses all cores for one, and the second asker of the same question finds its answer."""


def read_config(given: str) -> Config:
    """Read the settings that ``dashboard_command`` hands over: JSON of its command line and its ``--config`` file."""
    words = json.loads(given)
    return load_config(words["settings"], os.environ, Path(words["config"]) if words["config"] else None)


def answer(config: Config, version: str, sql: str) -> Found:
    """What ``ask`` answers over a kept version, remembered. Raises what ``ask`` raises."""
    with _LOCK:
        return _answer(config, version, sql)


@lru_cache(maxsize=200)
def _answer(config: Config, version: str, sql: str) -> Found:
    return ask(config, sql, version)
