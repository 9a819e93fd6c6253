"""Streamlit with the page's libraries loaded and its first questions asked, so that the first visitor need not wait."""

import atexit
import importlib
import json
import os
import shutil
import socket
import sys
import tempfile
import time
import webbrowser
from pathlib import Path
from threading import Thread

from streamlit.web.cli import main

from cli.web import questions
from cli.web.answers import answer, read_config
from config import Config
from pipeline.errors import LogmillError
from pipeline.versions.catalog import current_version

_STARTS_WITHIN_SECONDS = 60


def prepare(config: Config) -> None:
    """Ask what the first view shows."""
    try:
        version = current_version(config.OUTPUT_DIR).name
        for sql in questions.FIRST_VIEW:
            answer(config, version, sql)
    except LogmillError:
        return  # the page asks again, and shows the error to whoever is there to read it


def open_browser(host: str, port: int, path: str) -> None:
    """Open the page in a browser as soon as the server answers.

    The browser gets the name of a file that only this user can read, and which leads to the page: any user of this
    machine can list arguments, and these would tell the secret of the address.
    """
    folder = Path(tempfile.mkdtemp(prefix="logmill-dashboard-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    file = folder / "open.html"
    file.write_text(f'<meta http-equiv="refresh" content="0;url=http://{host}:{port}/{path}/">', encoding="utf-8")
    if answers(host.strip("[]"), port):
        webbrowser.open(file.as_uri())


def answers(host: str, port: int) -> bool:
    """Wait until a server accepts connections; False where none does within a minute."""
    end = time.monotonic() + _STARTS_WITHIN_SECONDS
    while time.monotonic() < end:
        try:
            socket.create_connection((host, port), timeout=1).close()
            return True
        except OSError:
            time.sleep(0.1)
    return False


if __name__ == "__main__":
    Thread(target=prepare, args=(read_config(sys.argv[-1]),), daemon=True).start()
    if json.loads(sys.argv[-1])["open"]:
        where = os.environ["STREAMLIT_BROWSER_SERVER_ADDRESS"], int(os.environ["STREAMLIT_SERVER_PORT"])
        Thread(target=open_browser, args=(*where, os.environ["STREAMLIT_SERVER_BASE_URL_PATH"]), daemon=True).start()
    for library in ("altair", "pandas", "pyarrow"):
        importlib.import_module(library)
    main(["run", *sys.argv[1:]])
