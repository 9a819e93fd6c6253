"""A Java that only knows its version."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def fake_java(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a JAVA_HOME whose ``java -version`` prints the given text; returns its path."""

    def make(shown: str) -> Path:
        home = tmp_path / f"java{len(list(tmp_path.iterdir()))}"
        (home / "bin").mkdir(parents=True)
        program = home / "bin" / "java"
        program.write_text(f"#!/bin/sh\necho '{shown}' >&2\n", encoding="utf-8")
        program.chmod(0o755)
        return home

    return make
