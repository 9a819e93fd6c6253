"""Settings whose folders are in a folder of the test."""

from collections.abc import Callable
from pathlib import Path

import pytest

from config import Config
from pipeline.inspection.doctor import folders

Settings = Callable[..., Config]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Makes settings: none of their folders exists, and no disk is too slow, whatever other tests write."""

    def settings(**changed: object) -> Config:
        names = {"INPUT_DIR": "in", "INTERMEDIATE_DIR": "between", "OUTPUT_DIR": "out"}
        return Config(**({name: str(tmp_path / folder) for name, folder in names.items()} | changed))

    monkeypatch.setattr(folders, "SLOW_BYTES_PER_SECOND", 1e3)
    return settings
