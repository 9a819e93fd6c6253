"""``dashboard``: a page on 127.0.0.1 over the published result."""

import importlib.util
import json
import os
import secrets
import socket
import sys
from pathlib import Path

from cli.arguments import Arguments
from cli.commands import DASHBOARD_PACKAGES
from cli.console import Answer
from config import Config
from pipeline.errors import EnvironmentFault, install_command
from pipeline.versions.catalog import current_version

PAGE = Path(__file__).parent / "web" / "page.py"
_EVERY = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
"""Addresses that stand for all of a machine, and what a browser on this machine calls them."""


def dashboard_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Replace this process by Streamlit's, so that no process remains however the dashboard ends.

    Raises:
        InputError: nothing is published.
        EnvironmentFault: Streamlit is not installed, or the address or port cannot be used.
    """
    current_version(config.OUTPUT_DIR)
    if importlib.util.find_spec("streamlit") is None:
        raise EnvironmentFault(
            "the dashboard needs Streamlit, which is an extra. Run: " + install_command(DASHBOARD_PACKAGES)
        )
    port = _free_port(arguments.host, config.DASHBOARD_PORT)
    secret = secrets.token_urlsafe(16)
    address = f"http://{_name_of(arguments.host)}:{port}/{secret}/"
    answer.give({"address": address, "output": config.OUTPUT_DIR})
    if not answer.as_json:
        answer.write(f"The dashboard is at {address} until Ctrl-C ends it.\n{_warning(arguments.host, port)}")
    words = {
        "settings": arguments.settings,
        "config": str(arguments.config) if arguments.config else None,
        "open": arguments.open_browser,
    }
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Streamlit would name the address again, and others
    os.execve(
        sys.executable,
        [sys.executable, "-m", "cli.web.serve", str(PAGE), "--", json.dumps(words)],
        os.environ | _streamlit_settings(arguments.host, port, secret) | {"PYTHONPATH": str(PAGE.parents[2])},
    )


def _name_of(host: str) -> str:
    return _EVERY.get(host) or (f"[{host}]" if ":" in host else host)


def _warning(host: str, port: int) -> str:
    """What to know where the page is not for this machine alone; empty where it is."""
    if host in ("127.0.0.1", "localhost", "::1"):
        return ""
    others = f"Other machines and, from a container, its host reach it by their name for this one, port {port}. "
    return f"{others if host in _EVERY else ''}Whoever has the address can read the result, and nothing is encrypted.\n"


def _streamlit_settings(host: str, port: int, secret: str) -> dict[str, str]:
    """Settings as environment variables: arguments, which any user can list, would tell the secret of the address."""
    settings = {
        "SERVER_ADDRESS": host,
        "SERVER_PORT": str(port),
        "SERVER_BASE_URL_PATH": secret,  # other users of this machine reach the port, but not the page
        "SERVER_HEADLESS": "true",  # it would give the address to a browser as an argument
        "SERVER_SHOW_EMAIL_PROMPT": "false",
        "SERVER_FILE_WATCHER_TYPE": "none",
        "SERVER_ENABLE_STATIC_SERVING": "false",
        "SERVER_ENABLE_CORS": "true",
        "SERVER_ENABLE_XSRF_PROTECTION": "true",
        "BROWSER_SERVER_ADDRESS": _name_of(host),
        "BROWSER_GATHER_USAGE_STATS": "false",
        "CLIENT_TOOLBAR_MODE": "minimal",
        "CLIENT_SHOW_ERROR_DETAILS": "none",
        "LOGGER_LEVEL": "error",
    }
    return {f"STREAMLIT_{name}": value for name, value in settings.items()}


def _free_port(host: str, wanted: int) -> int:
    """The port ``wanted``, or any free port for 0. Raises EnvironmentFault where host or port cannot be used."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Streamlit: a port just left is free
            probe.bind((host, wanted))
            return int(probe.getsockname()[1])
    except OSError as fault:
        raise EnvironmentFault(
            f"port {wanted} of {host} cannot be used: {fault.strerror}. Choose another port with --port (0 is any), or "
            "an address of this machine with --host (0.0.0.0 is all)."
        ) from fault
