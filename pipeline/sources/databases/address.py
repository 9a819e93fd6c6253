"""Which database a URL names. Its password never stands in the URL, which the process list and records show."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import ConfigError

System = Literal["postgresql", "mysql"]
_SYSTEMS: Mapping[str, System] = {
    "postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql",
}  # fmt: skip
NAMES: Mapping[System, str] = {"postgresql": "PostgreSQL", "mysql": "MySQL"}
"""What people call each system; MySQL stands for MariaDB, too."""
_PASSWORDS: Mapping[System, str] = {"postgresql": "PGPASSWORD", "mysql": "MYSQL_PASSWORD"}


@dataclass(frozen=True)
class Address:
    """A database: its system, the URL without a password, the parts of the URL that are there, and its options."""

    system: System
    url: str
    host: str = ""
    port: int = 0
    user: str = ""
    database: str = ""
    options: Mapping[str, str] | None = None

    @property
    def origin(self) -> str:
        """Changes when the tables may be those of another database. The user may change."""
        beginning = {"postgresql": "PG", "mysql": "MYSQL_"}[self.system]
        parts = {"HOST": self.host, "PORT": str(self.port or ""), "DATABASE": self.database}
        known = {name: part or os.environ.get(beginning + name, "") for name, part in parts.items()}
        host = known["HOST"] or (self.options or {}).get("host", "")
        return f"{self.system}://{host}:{known['PORT']}/{known['DATABASE']}"


def is_database(source: str) -> bool:
    """Whether a source is the URL of a database, and no path."""
    return source.startswith(tuple(f"{scheme}://" for scheme in _SYSTEMS))


def parse_address(source: str) -> Address:
    """The database that a URL names; what it does not say is in the environment.

    Raises ConfigError where the URL has a password or is none. The message does not repeat the URL.
    """
    try:
        parts = urlsplit(source)
        system, port = _SYSTEMS[parts.scheme], parts.port or 0
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise ConfigError(
            "--source is no URL of a database: expected such as postgresql://user@host:5432/database. Characters such "
            "as / or # in a name are written as %2F, %23."
        ) from None
    if parts.password or "password" in options:
        raise ConfigError(
            "--source has a password, which everybody can read in the list of processes. Remove it from the URL, and "
            f"write {_PASSWORDS[system]} into the file .env in the working folder, or into the environment."
        )
    names = [unquote(part or "") for part in (parts.hostname, parts.username, parts.path.lstrip("/"))]
    return Address(system, source, names[0], port, names[1], names[2], options)
