"""Streamlit with the page's libraries loaded and its first questions asked, so that the first visitor need not wait."""

import importlib
import sys
from threading import Thread

from streamlit.web.cli import main

from cli.web import questions
from cli.web.answers import answer, read_config
from config import Config
from pipeline.errors import LogmillError
from pipeline.versions.catalog import current_version


def prepare(config: Config) -> None:
    """Ask what the first view shows."""
    try:
        version = current_version(config.OUTPUT_DIR).name
        for sql in questions.FIRST_VIEW:
            answer(config, version, sql)
    except LogmillError:
        return  # the page asks again, and shows the error to whoever is there to read it


if __name__ == "__main__":
    Thread(target=prepare, args=(read_config(sys.argv[-1]),), daemon=True).start()
    for library in ("altair", "pandas", "pyarrow"):
        importlib.import_module(library)
    main(["run", *sys.argv[1:]])
