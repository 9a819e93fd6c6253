"""A disk that fails once, at a write, sync, rename, link, folder or new file of a run, in whatever process and library.

The C library's functions are replaced in all processes (failing_disk.c), so that also Polars, PyArrow, SQLite and the
JVM meet the failure.
"""

import errno
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
_PLAN = struct.Struct("llll512s512s512s")
"""The structure ``Plan`` of the C file."""


def can_fail() -> bool:
    """Whether this system lets a library stand before the C library: Linux does."""
    return sys.platform == "linux"


class FailingDisk:
    """The disk below ``folder``; ``scratch`` has the compiled library and the plan of the failure, or room for them."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        scratch.mkdir(exist_ok=True)
        self._folder = folder
        self._library, self._plan, self._trace = (scratch / name for name in ("failing_disk.so", "plan", "trace"))
        if not self._library.exists():
            self._plan.write_bytes(bytes(_PLAN.size))
            command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-o", self._library, SOURCE]
            subprocess.run([*command, "-ldl"], check=True, capture_output=True)

    def environment(self) -> dict[str, str]:
        """The variables with which a run uses this disk."""
        return {"LD_PRELOAD": str(self._library), "LOGMILLTEST_DISK": str(self._plan)}

    def watch(self) -> None:
        """Let nothing fail, and note what is done."""
        self._trace.unlink(missing_ok=True)
        self._write("", 0, 0, trace=True)

    def seen(self) -> Counter[str]:
        """What was done since ``watch``: kind → how often."""
        return Counter(self._trace.read_text(encoding="utf-8", errors="replace").splitlines())

    def fail(self, kind: str, passing: int, error: str) -> None:
        """Let what is done for the ``passing``-th time fail with ``error`` (the name of an errno), once."""
        self._write(kind, passing, getattr(errno, error))

    @property
    def failed(self) -> bool:
        """Whether the failure has come."""
        return bool(_PLAN.unpack(self._plan.read_bytes())[3])

    def _write(self, kind: str, wanted: int, code: int, *, trace: bool = False) -> None:
        texts = [kind, str(self._folder), str(self._trace) if trace else ""]
        with self._plan.open("r+b") as stream:  # never truncated: processes have it in their memory
            stream.write(_PLAN.pack(0, wanted, code, 0, *map(os.fsencode, texts)))
