"""``dashboard`` where its extra is not installed."""

import importlib.util

import pytest

import cli.dashboard
from cli.arguments import parse_arguments
from cli.console import Answer
from config import Config
from pipeline.errors import EnvironmentFault


def test_streamlit_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.dashboard, "current_version", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentFault, match=r"pip install -r .*requirements-dashboard"):
        cli.dashboard.dashboard_command(parse_arguments(["dashboard"]), Config(), Answer(as_json=False))
