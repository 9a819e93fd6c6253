"""``dashboard``: a page on 127.0.0.1 over the published result."""

import importlib.util
import json
import os
import secrets
import socket
import sys
from pathlib import Path

from cli.arguments import Arguments
from cli.console import Answer
from config import Config
from pipeline.errors import EnvironmentFault, install_command
from pipeline.versions.catalog import current_version

ADDRESS = "127.0.0.1"
PAGE = Path(__file__).parent / "web" / "page.py"


def dashboard_command(arguments: Arguments, config: Config, answer: Answer) -> int:
    """Replace this process by Streamlit's, so that no process remains however the dashboard ends.

    Raises:
        InputError: nothing is published.
        EnvironmentFault: Streamlit is not installed, or the port is taken.
    """
    current_version(config.OUTPUT_DIR)
    if importlib.util.find_spec("streamlit") is None:
        raise EnvironmentFault(
            "the dashboard needs Streamlit, which is an extra. Run: " + install_command("requirements-dashboard.txt")
        )
    port = _free_port(config.DASHBOARD_PORT)
    secret = secrets.token_urlsafe(16)
    address = f"http://{ADDRESS}:{port}/{secret}/"
    answer.give({"address": address, "output": config.OUTPUT_DIR})
    if not answer.as_json:
        answer.write(f"The dashboard is at {address} until Ctrl-C ends it.\n")
    settings = {"settings": arguments.settings, "config": str(arguments.config) if arguments.config else None}
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Streamlit would name the address again, and others
    os.execve(
        sys.executable,
        [sys.executable, "-m", "cli.web.serve", str(PAGE), "--", json.dumps(settings)],
        os.environ | _streamlit_settings(port, secret) | {"PYTHONPATH": str(PAGE.parents[2])},
    )


def _streamlit_settings(port: int, secret: str) -> dict[str, str]:
    """Settings as environment variables: arguments, which any user can list, would tell the secret of the address."""
    settings = {
        "SERVER_ADDRESS": ADDRESS,
        "SERVER_PORT": str(port),
        "SERVER_BASE_URL_PATH": secret,  # other users of this machine reach the port, but not the page
        "SERVER_HEADLESS": "false" if sys.stdout.isatty() else "true",
        "SERVER_SHOW_EMAIL_PROMPT": "false",
        "SERVER_FILE_WATCHER_TYPE": "none",
        "SERVER_ENABLE_STATIC_SERVING": "false",
        "SERVER_ENABLE_CORS": "true",
        "SERVER_ENABLE_XSRF_PROTECTION": "true",
        "BROWSER_SERVER_ADDRESS": ADDRESS,
        "BROWSER_GATHER_USAGE_STATS": "false",
        "CLIENT_TOOLBAR_MODE": "minimal",
        "CLIENT_SHOW_ERROR_DETAILS": "none",
        "LOGGER_LEVEL": "error",
    }
    return {f"STREAMLIT_{name}": value for name, value in settings.items()}


def _free_port(wanted: int) -> int:
    """The port ``wanted``, or any free port for 0. Raises EnvironmentFault where the port is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Streamlit: a port just left is free
        try:
            probe.bind((ADDRESS, wanted))
        except OSError as fault:
            raise EnvironmentFault(
                f"port {wanted} of {ADDRESS} cannot be used: {fault.strerror}. Choose another with --port; 0 is any."
            ) from fault
        return int(probe.getsockname()[1])
