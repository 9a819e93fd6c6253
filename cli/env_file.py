"""The file ``.env`` in the working folder: settings of databases and storages, and their secrets."""

import os
from collections.abc import MutableMapping

from pipeline.errors import ConfigError

FILE = ".env"
BEGINNINGS = ("PG", "MYSQL_", "AWS_", "GOOGLE_", "AZURE_")
"""How names begin that are taken from the file. Others are for other programs: such as PATH, which could start one."""


def read_env_file(environ: MutableMapping[str, str], file: str = FILE) -> None:
    """Add what the file has and ``environ`` lacks. Raises ConfigError where a line is none, without its text."""
    if not os.path.isfile(file):
        return
    from dotenv.parser import parse_stream

    with open(file, encoding="utf-8") as stream:
        bindings = list(parse_stream(stream))
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            raise ConfigError(f"line {binding.original.line} of {file} is no setting: expected NAME=value.")
        if binding.key and binding.value and binding.key.startswith(BEGINNINGS):
            environ.setdefault(binding.key, binding.value)
