"""Answers about a version, each asked once: a version never changes. They outlive a rerun of the page."""

import json
import os
from functools import lru_cache
from pathlib import Path
from threading import Lock

from config import Config, load_config
from pipeline.inspection.query import Found, ask

_LOCK = Lock()  # DuckDB has all cores for one question; the same question twice at once would take twice as long


def read_config(given: str) -> Config:
    """Settings as the command hands them over: JSON of those of the command line, and of the file of ``--config``."""
    words = json.loads(given)
    return load_config(words["settings"], os.environ, Path(words["config"]) if words["config"] else None)


def answer(config: Config, version: str, sql: str) -> Found:
    """What ``ask`` answers, remembered by version. Raises as ``ask`` does."""
    with _LOCK:
        return _answer(config, version, sql)


@lru_cache(maxsize=200)
def _answer(config: Config, _version: str, sql: str) -> Found:
    return ask(config, sql)
