"""Finds a Java that Spark 4.3 can use: 17, 21, or 25 from 25.0.3 on (earlier 25s corrupt data under G1)."""

import json
import os
import re
import shutil
import subprocess
from contextlib import suppress
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


def find_java(cache: Path | None = None) -> Java:
    """Find the Java that Spark would start: that of JAVA_HOME, or else the first on the PATH.

    ``cache``: a file that keeps what the program said of itself, so that it is asked once and not in every run; it is
    asked again when it has another size or time.
    """
    home = os.environ.get("JAVA_HOME")
    path = str(Path(home) / "bin" / "java") if home else shutil.which("java")
    if path is None:
        return Java(None, "no Java", "no Java was found (JAVA_HOME is not set, and there is no java on the PATH)")
    try:
        output = _ask_version(path, cache)
    except (OSError, subprocess.SubprocessError) as fault:
        origin = "JAVA_HOME points to" if home else "there is"
        return Java(path, "no Java", f"{origin} {path}, which does not run ({type(fault).__name__})")
    version = java_version(output)
    name = "Java " + ".".join(map(str, version)) if version else "an unknown Java"
    usable = version[:1] in ((17,), (21,)) or (version[:1] == (25,) and version >= (25, 0, 3))
    problem = None if usable else f"{name} ({path}) cannot run Spark, which needs Java 17, 21 or 25.0.3 and later"
    return Java(path, name, problem)


def _ask_version(path: str, cache: Path | None) -> str:
    """What ``java -version`` prints. Raises OSError or SubprocessError where the program does not run."""
    status = os.stat(path)
    stamp = [os.path.realpath(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    known: dict[str, list[object]] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(cache.read_text(encoding="utf-8")) if cache else {}
        if known[path][:-1] == stamp:
            return str(known[path][-1])
    output = subprocess.run(
        [path, "-version"], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=True
    ).stderr
    if cache:
        with suppress(OSError):  # without the file, the program is asked again
            cache.parent.mkdir(parents=True, exist_ok=True)
            partial = cache.with_name(f"{cache.name}.{os.getpid()}")
            partial.write_text(json.dumps({path: [*stamp, output]}), encoding="utf-8")
            partial.replace(cache)
    return output


def java_version(output: str) -> tuple[int, ...]:
    """The numbers of the version in the output of ``java -version``; () where there is none. 1.8 is read as 8."""
    match = re.search(r'version "(\d+(?:\.\d+)*)', output)
    numbers = tuple(map(int, match[1].split("."))) if match else ()
    return numbers[1:] if numbers[:1] == (1,) else numbers
