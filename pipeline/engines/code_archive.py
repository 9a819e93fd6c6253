"""The program as an archive for the executors of a cluster, which see neither this folder nor this user's cache.

It is unpacked in the folder of each executor. It has the packages that kernels import, and ``shipped/``: the compiled
library, the geo table, and what else the driver found in its cache (``machine.at_hand``).
"""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path

from pipeline.machine import PROJECT, SHIPPED, writing

_PARTS = ("pipeline", "utils", "config.py")
"""What kernels import, below the folder of the program."""


def pack_code(
    cache_dir: Path,
    shipped: Sequence[Path],
    texts: Mapping[str, str],
    project: Path = PROJECT,
    folders: Sequence[Path] = (),
) -> Path:
    """Find the archive in ``cache_dir``, or make it; returns its path. It is named by the hash of what is in it.

    ``shipped``: further files; ``texts``: name → text of further ones; ``folders``: with further code, which an
    executor finds by ``machine.folder_at_hand``. Raises OSError.
    """
    files = dict(_files(project, shipped, texts, folders))
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    archive = cache_dir / f"code-{digest.hexdigest()[:32]}.tgz"
    if not archive.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        partial = archive.with_suffix(f".{os.getpid()}.partial")
        with writing(partial):
            _write(partial, files)
        partial.replace(archive)
    return archive


def _files(
    project: Path, shipped: Sequence[Path], texts: Mapping[str, str], folders: Sequence[Path]
) -> Iterator[tuple[str, bytes]]:
    """(Name in the archive, bytes) of every file, in order of the names of each part."""
    for part in _PARTS:
        yield from _files_of(project / part, part)
    for folder in folders:
        yield from _files_of(folder, f"{SHIPPED}/{folder.name}")
    for path in sorted(set(shipped)):
        yield f"{SHIPPED}/{path.name}", path.read_bytes()
    for name, text in sorted(texts.items()):
        yield f"{SHIPPED}/{name}", text.encode()


def _files_of(found: Path, name: str) -> Iterator[tuple[str, bytes]]:
    for path in sorted(found.rglob("*")) if found.is_dir() else [found]:
        if path.is_file() and "__pycache__" not in path.parts:
            yield (Path(name) / path.relative_to(found)).as_posix(), path.read_bytes()


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    # Level 1, because the largest files are compressed already.
    with (
        path.open("wb") as raw,
        gzip.GzipFile("", "wb", 1, raw, mtime=0) as packed,
        tarfile.TarFile("", "w", packed) as tar,
    ):
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, BytesIO(data))
