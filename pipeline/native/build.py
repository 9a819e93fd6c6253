"""Compiles the C files of this folder into a library, once for each machine, in the user's cache folder."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pyarrow as pa

from pipeline.machine import PROJECT, SHIPPED, cache_folder

SOURCES = tuple(sorted(Path(__file__).parent.glob("*.[ch]")))
"""The C files and the headers that they include."""

_FLAGS = ("-shared", "-O3", "-fvisibility=hidden", "-std=c11", *(() if sys.platform == "win32" else ("-fPIC",)))

_SECONDS = 300
"""Time after which the compiler is stopped."""

_NO_COMPILER = "the package ziglang is not installed"

_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "abm"}
"""What a processor must have for x86_64_v3 (x86-64 psABI, 3.1.1), by the names of /proc/cpuinfo."""


def compile_library(cache_dir: Path, begin: Callable[[], None] = lambda: None) -> tuple[Path | None, str]:
    """Find the library in ``cache_dir``, or compile it: (path, ""), or (None, why there is no library).

    Without a library, Polars parses everything, with equal results. The library's name has a hash of everything that
    decides its bytes: C files, headers, compiler, PyArrow (whose xxhash.h is included), system, processor and flags. A
    library that cannot be loaded is compiled again. A portable one (``compile_portable``) is used where there is no
    other; it needs no compiler here. ``begin`` is called before anything is compiled.
    """
    processor, compiler = _processor(), _compiler()
    own = _library(cache_dir, processor, compiler) if compiler else None
    for library in (own, *(_portable_library(cache_dir, kind) for kind in _kinds(processor))):
        if library and library.exists() and _loads(library):
            return library, ""
    if own is None:
        return None, _NO_COMPILER
    begin()
    return _made(own, ())


PROCESSOR_FILE = "processor"
"""File beside a shipped library: the system and processor that it was compiled for."""


def system_and_processor() -> str:
    """What must be equal on two machines so that one can use a library that the other compiled for itself."""
    return "\n".join((sys.platform, platform.machine(), _processor()))


@lru_cache(maxsize=1)
def executor_library(name: str) -> Path | None:
    """The library of an executor: the shipped one ``name`` where its processor is the driver's, or a portable one that
    was shipped, else one that is compiled there, in its own cache; None where that is not possible."""
    shipped = PROJECT / SHIPPED
    made_for = shipped / PROCESSOR_FILE
    same = made_for.exists() and made_for.read_text("utf-8") == system_and_processor()
    for library in (*([shipped / name] if same else []), *portable_libraries(shipped)):
        if _loads(library):
            return library
    return compile_library(cache_folder())[0]


def portable_libraries(folder: Path) -> list[Path]:
    """The portable libraries in ``folder`` that suit this machine's processor, the fastest first."""
    libraries = (_portable_library(folder, kind) for kind in _kinds(_processor()))
    return [library for library in libraries if library.exists()]


def compile_portable(cache_dir: Path) -> tuple[Path | None, str]:
    """Compile libraries that machines without a compiler use, too, such as for an image: for each kind of processor.

    Returns what ``compile_library`` does, which chooses among them.
    """
    if _compiler() is None:
        return None, _NO_COMPILER
    for kind in _kinds():
        library, why_not = _made(_portable_library(cache_dir, kind), (f"-mcpu={kind}",))
        if library is None:
            return None, why_not
    return compile_library(cache_dir)


def _kinds(processor: str | None = None) -> list[str]:
    """The kinds of processors that portable libraries are for, the fastest first, as the compiler calls them: those of
    the last ten years, and all. With a ``processor``: those that it belongs to."""
    newer = {"x86_64_v3": _V3} if platform.machine() == "x86_64" else {}
    return [*(kind for kind, has in newer.items() if processor is None or has <= set(processor.split())), "baseline"]


def _portable_library(cache_dir: Path, kind: str) -> Path:
    """The path of a portable library. Its name tells nothing of the compiler, which need not be there."""
    return _library(cache_dir, kind, "")


def _library(cache_dir: Path, processor: str, compiler: str) -> Path:
    deciding = [
        *(source.read_text("utf-8") for source in SOURCES),
        compiler,
        version("pyarrow"),
        sys.platform,
        platform.machine(),
        processor,
        *_FLAGS,
    ]
    digest = hashlib.sha256("\n".join(deciding).encode()).hexdigest()
    return cache_dir / f"library-{digest[:32]}.so"


def _compiler() -> str | None:
    """The version of the compiler; None where it is not installed, as in the container images."""
    try:
        return version("ziglang")
    except PackageNotFoundError:
        return None


def _made(library: Path, flags: tuple[str, ...]) -> tuple[Path | None, str]:
    try:
        library.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as work:
            _compile(Path(work), library, flags)
    except OSError as fault:
        return None, f"{library.parent} cannot be written ({fault.strerror or fault})"
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


def _compile(work: Path, library: Path, flags: tuple[str, ...]) -> None:
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
        *flags,
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
