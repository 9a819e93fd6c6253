"""The master of a cluster: whether it can be reached, and why a session on it did not start."""

import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from config import SparkSettings
from pipeline.errors import EnvironmentFault

_CONNECT_SECONDS = 10.0

_PYTHON_ERROR = re.compile(r"^[ \t]*((?:\w+\.)*\w+(?:Error|Exception|Fault): .+)|(Cannot run program .+)", re.MULTILINE)
"""An error in the text of a failed job: Spark indents those of Python processes that did not start."""

_OF_JAVA = "java.", "org.apache.", "py4j."
_CAUSE = re.compile(r"^Caused by: (.+)", re.MULTILINE)
_REFUSED = "All masters are unresponsive"
"""In Spark's log, where a master that can be reached has not taken the application."""


def check_master(master: str) -> None:
    """Look whether a master can be reached, for which Spark would wait up to two minutes.

    Raises EnvironmentFault where it cannot be, or, for YARN, where nothing says where it is.
    """
    if master == "yarn" and not (os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR")):
        raise EnvironmentFault(
            "SPARK_MASTER is yarn, and neither HADOOP_CONF_DIR nor YARN_CONF_DIR names the folder with its settings. "
            "Nothing was done. Set one of them, and run again."
        )
    reason = ""
    for place in _places(master):
        try:
            socket.create_connection(place, _CONNECT_SECONDS).close()
        except (OSError, OverflowError, UnicodeError) as fault:  # the latter two: no such port, no name of a host
            reason = f"port {place[1]} of {place[0]}: {getattr(fault, 'strerror', None) or fault}"
        else:
            return
    if reason:
        raise EnvironmentFault(
            f"the master {master} cannot be reached ({reason}). Nothing was done. Check host and port of SPARK_MASTER, "
            "and whether the master runs, and run again."
        )


def _places(master: str) -> Iterator[tuple[str, int]]:
    """Hosts and ports of a master, one of which must answer; none where Spark finds it otherwise."""
    if master.startswith("spark://"):
        for place in master.removeprefix("spark://").split(","):
            host, _, port = place.rpartition(":")
            yield host.strip("[]"), int(port)
    elif master.startswith("k8s://") and not urllib.request.getproxies():
        address = master.removeprefix("k8s://")
        found = urlsplit(address if "://" in address else f"https://{address}")
        if found.hostname:
            yield found.hostname, found.port or (80 if found.scheme == "http" else 443)


def session_fault(text: str, said: str, config: SparkSettings, log: Path) -> EnvironmentFault:
    """The error where a session does not start or its executors do not work; they have seen no record yet.

    ``text``: of the exception; ``said``: by Spark's log until now; ``log``: where people find it.
    """
    master = config.SPARK_MASTER
    if _REFUSED in said:
        return EnvironmentFault(
            f"the master {master} can be reached and does not accept this program. Nothing was done. Most often its "
            "secret is another one (spark.authenticate.secret), or its version of Spark: let SPARK_CONF_DIR name the "
            f"folder with the spark-defaults.conf of the cluster, and run again. Spark's own log is {log}."
        )
    errors = [error or program for error, program in _PYTHON_ERROR.findall(text)]
    if named := [error for error in errors if not error.startswith(_OF_JAVA)] or errors:
        python = config.SPARK_EXECUTOR_PYTHON or "the path of this Python"
        return EnvironmentFault(
            f"the executors of {master} cannot run this program: {named[-1].strip()[:300]}. Nothing was done. They use "
            f"{python} (SPARK_EXECUTOR_PYTHON), which must have the packages of requirements.txt. Correct this and run "
            "again."
        )
    lines = _CAUSE.findall(text) or [line for line in text.splitlines() if ": " in line] or text.splitlines() or [""]
    return EnvironmentFault(
        f"Spark did not start on {master} ({lines[-1].strip(' :')[:300]}). Nothing was done. Check SPARK_MASTER, and "
        f"the spark-defaults.conf in the folder of SPARK_CONF_DIR, and run again. Spark's own log is {log}."
    )
