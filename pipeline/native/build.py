"""Compiles the C files of this folder into a library, once for each machine, in the user's cache folder."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.[ch]")))
"""The C files and the headers that they include."""

_FLAGS = ("-shared", "-O3", "-fvisibility=hidden", "-std=c11", *(() if sys.platform == "win32" else ("-fPIC",)))

_SECONDS = 120
"""Time after which the compiler is stopped."""


def compile_library(cache_dir: Path) -> tuple[Path | None, str]:
    """Find the library in ``cache_dir``, or compile it: (path, ""), or (None, why there is no library).

    Without a library, Polars parses everything, with equal results. The library's name has a hash of everything that
    decides its bytes: C files, headers, compiler, PyArrow (whose xxhash.h is included), system, processor and flags. A
    library that cannot be loaded is compiled again.
    """
    try:
        compiler, arrow = version("ziglang"), version("pyarrow")
    except PackageNotFoundError:
        return None, "the package ziglang is not installed"
    deciding = [
        *(source.read_text("utf-8") for source in SOURCES),
        compiler,
        arrow,
        sys.platform,
        platform.machine(),
        _processor(),
        *_FLAGS,
    ]
    digest = hashlib.sha256("\n".join(deciding).encode()).hexdigest()
    library = cache_dir / f"library-{digest[:32]}.so"
    if library.exists() and _loads(library):
        return library, ""
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as work:
            _compile(Path(work), library)
    except OSError as fault:
        return None, f"{cache_dir} cannot be written ({fault.strerror or fault})"
    except subprocess.TimeoutExpired:
        return None, f"the compiler took more than {_SECONDS} seconds"
    except subprocess.CalledProcessError as fault:
        last = (fault.stderr.strip().splitlines() or ["no message"])[-1]
        return None, f"the compiler failed: {last[:200]}"
    return (library, "") if _loads(library) else (None, f"the compiled {library.name} cannot be loaded")


def _processor() -> str:
    """The instructions of this machine's processor, because machines with other ones may share the cache folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.processor())


def _loads(library: Path) -> bool:
    try:
        ctypes.CDLL(str(library))
    except OSError:
        return False
    return True


def _compile(work: Path, library: Path) -> None:
    """Compile the sources in the folder ``work``, and move the result to ``library`` when it is complete.

    Raises OSError, subprocess.TimeoutExpired or subprocess.CalledProcessError.
    """
    made = work / library.name
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        *_FLAGS,
        "-I",
        pa.get_include(),
        *(str(source) for source in SOURCES if source.suffix == ".c"),
        "-o",
        str(made),
    ]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(work / "zig"), "ZIG_LOCAL_CACHE_DIR": str(work / "zig")}
    subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=_SECONDS, env={**os.environ, **caches}, cwd=work
    )
    with made.open("rb") as stream:
        os.fsync(stream.fileno())
    made.replace(library)
