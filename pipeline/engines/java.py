"""Finds a Java that Spark 4.3 can use: 17, 21, or 25 from 25.0.3 on (earlier 25s corrupt data under G1)."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class Java:
    """A Java installation, or that there is none.

    ===============  =====================================================================
    ``path``         the program; None where there is no Java
    ``description``  such as ``Java 17.0.1``
    ``problem``      why Spark cannot use it, as a clause; None where Spark can
    ===============  =====================================================================
    """

    path: str | None
    description: str
    problem: str | None


def find_java() -> Java:
    """Find the Java that Spark would start: that of JAVA_HOME, or else the first on the PATH."""
    home = os.environ.get("JAVA_HOME")
    path = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if path is None:
        return Java(None, "no Java", "no Java was found (JAVA_HOME is not set, and there is no java on the PATH)")
    try:
        output = subprocess.run(
            [path, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError) as fault:
        origin = "JAVA_HOME points to" if home else "there is"
        return Java(path, "no Java", f"{origin} {path}, which does not run ({type(fault).__name__})")
    version = java_version(output)
    name = "Java " + ".".join(map(str, version)) if version else "an unknown Java"
    usable = version[:1] in ((17,), (21,)) or (version[:1] == (25,) and version >= (25, 0, 3))
    problem = None if usable else f"{name} ({path}) cannot run Spark, which needs Java 17, 21 or 25.0.3 and later"
    return Java(path, name, problem)


def java_version(output: str) -> tuple[int, ...]:
    """The numbers of the version in the output of ``java -version``; () where there is none. 1.8 is read as 8."""
    match = re.search(r'version "(\d+(?:\.\d+)*)', output)
    numbers = tuple(map(int, match[1].split("."))) if match else ()
    return numbers[1:] if numbers[:1] == (1,) else numbers
