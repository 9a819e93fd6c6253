"""Turns what the clients of databases raise into messages that say what to do.

Texts of servers are never shown: they may hold values of rows, and a URL.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import EnvironmentFault

_SNAPSHOT_GONE = "^(42704|22023)"
"""What PostgreSQL answers, by its version, where a snapshot is to be taken over whose session has ended."""
_LOST = re.compile(f"^(08|57P0|53300)|{_SNAPSHOT_GONE}")
_ADVICE = (
    ("^28", "it refuses the user or the password. Check user and password in .env or the environment."),
    ("^3D000", "there is no such database. Check its name."),
    ("^42501", "the user may not read a table that the job needs. Grant SELECT on it."),
    ("^55P03", "another session holds a lock on a table that the job needs, such as ALTER TABLE. Run again later."),
    ("^57014", "the server cancelled the query. Run again, or let its administrator raise statement_timeout."),
    ("^(25P03|25P04)", "the server ends long transactions. Let its administrator raise the time limit for this user."),
    ("^(53|54)", "the server has no memory, disk or connections left. Run again later."),
    ("^40001|^72000", "the server gave up the snapshot, as standby servers do. Run again, or read from the primary."),
    (_SNAPSHOT_GONE, "the session that held the snapshot is gone. Run again: nothing was published."),
    (_LOST.pattern, "the connection broke. Run again: nothing was published."),
)
_TEXTS = (
    ("password|authentication|role .* does not exist|pg_hba|no PostgreSQL user name", "28000"),
    ("database .* does not exist", "3D000"),
    ("too many (clients|connections)|remaining connection slots", "53300"),
    ("SSL|certificate|TLS", "TLS"),
    ("refused|translate host|timeout|timed out|No such file|No route|unreachable|starting up", "UNREACHED"),
)
"""What libpq says where a connection fails before the server gave a code."""
_STATES = {
    "ALTERED": "a table was altered after the snapshot was taken. Run again.",
    "TLS": "the encrypted connection failed. Check sslmode (ssl_mode of MySQL) and the certificates.",
    "UNREACHED": "there is no answer. Check host and port, and whether the server runs.",
}


CONNECT = "cannot connect"
"""What was tried where nobody may answer, or somebody else; later, all of that is a connection that broke."""
_CODES = {
    **dict.fromkeys((1044, 1045, 1698, 2059, 2061), "28000"), 1049: "3D000", **dict.fromkeys((1142, 1143), "42501"),
    1205: "55P03", **dict.fromkeys((1317, 1969, 3024), "57014"), **dict.fromkeys((1040, 1203, 1226), "53300"),
    **dict.fromkeys((1053, 1077, 1927, 2006, 2013, 4031), "08006"), **dict.fromkeys((2002, 2003, 2005), "UNREACHED"),
    2026: "TLS", 3159: "TLS", 1412: "ALTERED",
}  # fmt: skip
"""Codes of MySQL and of its clients, as states."""


class DatabaseFault(EnvironmentFault):
    """A database cannot be read. ``lost``: the connection broke, the snapshot is gone, or the server has no
    connection left, so that another try may succeed. ``unreached``: nobody answers."""

    def __init__(self, message: str, lost: bool = False, unreached: bool = False) -> None:
        super().__init__(message, lost, unreached)
        self.lost, self.unreached = lost, unreached

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def postgres_explained(doing: str) -> Iterator[None]:
    """Raise what ADBC raises as DatabaseFault. ``doing``: what was tried, such as ``cannot read orders``."""
    from adbc_driver_manager import Error

    try:
        yield
    except (Error, OSError) as fault:  # of a stream that breaks, PyArrow raises the second one
        raise _fault("PostgreSQL", doing, str(getattr(fault, "sqlstate", None) or ""), str(fault)) from None


@contextmanager
def mysql_explained(doing: str) -> Iterator[None]:
    """Raise what PyMySQL raises as DatabaseFault. ``doing``: what was tried, such as ``cannot read orders``."""
    from pymysql import MySQLError

    try:
        yield
    except (MySQLError, OSError) as fault:
        code = fault.args[0] if isinstance(fault, MySQLError) and fault.args else 0
        state = _CODES.get(code, str(code or ""))
        if re.search("SSL|certificate|TLS", str(fault)) and state in ("", "UNREACHED", "08006"):
            state = "TLS"
        raise _fault("MySQL", doing, state, str(fault)) from None


def _fault(system: str, doing: str, state: str, text: str) -> DatabaseFault:
    if doing != CONNECT and state in ("", "TLS", "UNREACHED"):
        state = "08006"
    if not state:
        state = next((known for pattern, known in _TEXTS if re.search(pattern, text)), "08006")
    advice = _STATES.get(state) or next((told for pattern, told in _ADVICE if re.search(pattern, state)), "")
    told = advice or f"it answers with the error {state}. Look into the server's log."
    return DatabaseFault(f"{system}: {doing}: {told}", bool(_LOST.search(state)), state == "UNREACHED")
