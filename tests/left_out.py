"""What a run of the tests left out, and how to have it: said at its end, because a green line says nothing of it."""

import re
from collections import Counter
from collections.abc import Iterable

CAUSES = {
    "Chromium": ("no Chromium", "apt install chromium"),
    "GCC": ("no AddressSanitizer", "apt install gcc"),
    "MariaDB": ("no MariaDB", "apt install mariadb-server-core mariadb-client-core"),
    "Java": ("no Java for Spark", "apt install openjdk-17-jre-headless"),
    "mount": ("file systems may not be mounted", "run as root, in a container with --cap-add SYS_ADMIN"),
    "namespaces": ("namespaces may not be made", "run as root, in a container with --cap-add SYS_ADMIN"),
    "root": ("root cannot give up its rights", "run as another user, or apt install util-linux"),
    "package lists": ("no package lists", "apt-get update"),
    "bookworm": ("not Debian bookworm", "run in the image of the Dockerfile"),
    "Linux|syncfs": ("not Linux", "run on Linux"),
    "shared memory": ("no shared memory", "run where /dev/shm is mounted"),
    "no bash": ("no bash", "apt install bash"),
}
"""What the reason of a skipped test says -> (the cause, how to have it)."""


def explain(reasons: Iterable[str]) -> list[str]:
    """A line for each cause, the most frequent first; ``reasons``: one of every test that was skipped."""
    lines = []
    for (cause, remedy), count in Counter(map(_cause, reasons)).most_common():
        tests = "1 test" if count == 1 else f"{count:,} tests"
        lines.append(f"left out: {tests}: {cause}" + (f". To have them: {remedy}" if remedy else ""))
    return lines


def _cause(reason: str) -> tuple[str, str]:
    found = (known for pattern, known in CAUSES.items() if re.search(pattern, reason))
    return next(found, (reason.removeprefix("Skipped: "), ""))
