"""``dashboard`` where its extra is not installed."""

import importlib.util
import json

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


def test_the_address_as_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(cli.dashboard, "current_version", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(cli.dashboard.os, "dup2", lambda *_: None)
    monkeypatch.setattr(cli.dashboard.os, "execve", lambda _, __, environment: started.append(environment))
    arguments = parse_arguments(["dashboard", "--port", "0", "--json"])
    cli.dashboard.dashboard_command(arguments, Config(DASHBOARD_PORT=0, OUTPUT_DIR="out"), Answer(as_json=True))
    (environment,) = started
    found = json.loads(capsys.readouterr().out)
    port, secret = environment["STREAMLIT_SERVER_PORT"], environment["STREAMLIT_SERVER_BASE_URL_PATH"]
    assert found == {"address": f"http://127.0.0.1:{port}/{secret}/", "output": "out"}


def started_with(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, str]:
    """The environment of the server that a command line starts."""
    started: list[dict[str, str]] = []
    monkeypatch.setattr(cli.dashboard, "current_version", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: True)
    monkeypatch.setattr(cli.dashboard.os, "dup2", lambda *_: None)
    monkeypatch.setattr(cli.dashboard.os, "execve", lambda _, __, environment: started.append(environment))
    arguments = parse_arguments(["dashboard", *words])
    cli.dashboard.dashboard_command(arguments, Config(DASHBOARD_PORT=0, OUTPUT_DIR="out"), Answer(as_json=False))
    return started[0]


@pytest.mark.parametrize(
    ("words", "listens", "named", "warned"),
    [
        ((), "127.0.0.1", "127.0.0.1", False),
        (("--host", "localhost"), "localhost", "localhost", False),
        (("--host", "0.0.0.0"), "0.0.0.0", "127.0.0.1", True),
    ],
)
def test_the_page_listens_where_it_is_told_and_warns_of_others(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    listens: str,
    named: str,
    warned: bool,
) -> None:
    environment = started_with(monkeypatch, *words)
    assert environment["STREAMLIT_SERVER_ADDRESS"] == listens
    assert environment["STREAMLIT_SERVER_HEADLESS"] == "true"
    shown = capsys.readouterr().out
    assert f"http://{named}:{environment['STREAMLIT_SERVER_PORT']}/" in shown
    assert ("nothing is encrypted" in shown) == warned


def test_a_host_that_is_no_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match=r"port 0 of 192\.0\.2\.1 cannot be used: .*--host"):
        started_with(monkeypatch, "--host", "192.0.2.1")
