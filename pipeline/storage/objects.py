"""Objects: listed, looked at, read, written, copied, created once, deleted."""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.storage.client import store_of
from pipeline.storage.faults import AlreadyThere, faults_explained
from pipeline.storage.urls import ObjectUrl, has_magic, split_url

_AT_ONCE = 1000
"""Most keys of a listing, or of a request to delete, that are held at a time."""

_WHOLE_BYTES = 64 * 2**20
"""A file of up to so many is written by one request, for which it is in memory. A larger one is written in parts, of
which no more bytes are."""

_PART_BYTES = 16 * 2**20

_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".json": "application/json",
    ".html": "text/html; charset=utf-8",
}
"""What objects are said to be. A server that compresses what it does not know leaves them alone (docs/performance.md),
and a browser shows a report."""


def find_objects(pattern: str) -> Iterator[ObjectUrl]:
    """The objects that a URL means, in the order of their keys: those that match a glob, or else those with the URL as
    their folder.

    In a glob ``*`` and ``?`` stand for any characters but a slash, ``**`` for any, ``[...]`` for one of a set. Of a
    folder only its own objects are found, not those in folders below. Raises StorageFault.
    """
    if not has_magic(pattern):
        folder = pattern.rstrip("/") + "/"
        yield from (found for found in list_objects(folder) if "/" not in found[len(folder) :])
        return
    wanted = glob_to_pattern(pattern)
    fixed = pattern[: re.search(r"[*?[]", pattern).start()]  # type: ignore[union-attr] # a glob has one
    yield from (found for found in list_objects(fixed[: fixed.rindex("/") + 1]) if wanted.fullmatch(found))


def glob_to_pattern(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob over URLs."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\])", glob)
    return re.compile("".join(map(_part_to_pattern, parts)), re.DOTALL)


def _part_to_pattern(part: str) -> str:
    fixed = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in fixed:
        return fixed[part]
    if part.startswith("[") and part.endswith("]") and len(part) > 2:
        inner = part[1:-1]
        negated = inner.startswith(("!", "^"))
        chosen = inner[negated:].replace("\\", r"\\").replace("[", r"\[").replace("]", r"\]").replace("^", r"\^")
        return f"[{'^/' if negated else ''}{chosen}]"
    return re.escape(part)


def list_objects(prefix: str) -> Iterator[ObjectUrl]:
    """All objects whose URLs begin with ``prefix``, which is a bucket or ends with a slash, in the order of their keys.

    Only a thousand are held at a time. Raises StorageFault.
    """
    import obstore

    bucket = split_url(prefix).bucket
    with faults_explained(prefix, "be listed"):
        store, key = store_of(prefix)
        for chunk in obstore.list(store, key or None, chunk_size=_AT_ONCE):
            yield from (_found(bucket, meta) for meta in chunk)


def numbered_url(folder: str, number: int) -> str:
    """The URL of the entry with a number in a folder whose URL ends with a slash."""
    return f"{folder}{number:010d}.json"


def list_numbered(folder: str) -> dict[int, ObjectUrl]:
    """The entries of a folder by their numbers; other objects are none. Raises StorageFault."""
    names = ((found.rpartition("/")[2].removesuffix(".json"), found) for found in list_objects(folder))
    return {int(name): found for name, found in names if name.isdecimal()}


def look_at(url: str) -> ObjectUrl:
    """What the storage says of an object. Raises FileNotFoundError where there is none, StorageFault."""
    import obstore

    with faults_explained(url, "be looked at"):
        store, key = store_of(url)
        return _found(split_url(url).bucket, obstore.head(store, key))


def exists(url: str) -> bool:
    """Whether there is such an object. Raises StorageFault."""
    with suppress(FileNotFoundError):
        return bool(look_at(url))
    return False


def read_object(url: str) -> bytes:
    """All bytes of a small object. Raises FileNotFoundError, StorageFault."""
    import obstore

    with faults_explained(url, "be read"):
        store, key = store_of(url)
        return obstore.get(store, key).bytes().to_bytes()


def write_object(url: str, data: bytes | Path) -> None:
    """Write an object, or a file as one, in parts where it is very large; one of the same name is replaced whole.
    Raises StorageFault, and OSError where the file cannot be read."""
    import obstore

    size = data.stat().st_size if isinstance(data, Path) else len(data)
    kind = _TYPES.get(PurePosixPath(url).suffix)
    with faults_explained(url, "be written"):
        store, key = store_of(url)
        obstore.put(
            store,
            key,
            data,
            attributes={"Content-Type": kind} if kind else None,
            use_multipart=size > _WHOLE_BYTES,
            chunk_size=_PART_BYTES,
            max_concurrency=_WHOLE_BYTES // _PART_BYTES,
        )


def copy_object(source: str, target: str) -> None:
    """Let the storage copy an object to another name in its bucket. Raises FileNotFoundError, StorageFault."""
    import obstore

    with faults_explained(source, "be copied"):
        store, key = store_of(source)
        obstore.copy(store, key, split_url(target).key)


def create_object(url: str, data: bytes) -> bool:
    """Write a small object unless there is one of this name, as one step; returns whether this call did.

    Where the answer to a first attempt is lost, the second one finds the first one's object: the bytes tell whose it
    is, so ``data`` must differ between writers. Raises StorageFault.
    """
    import obstore

    try:
        with faults_explained(url, "be written"):
            store, key = store_of(url)
            obstore.put(store, key, data, mode="create", use_multipart=False)
    except AlreadyThere:
        return read_object(url) == data
    return True


def delete_objects(urls: Iterable[str]) -> None:
    """Delete objects of one bucket; one that is not there is as good as deleted. Raises StorageFault."""
    import obstore

    for some in _portions(urls):
        with faults_explained(some[0], "be deleted"), suppress(FileNotFoundError):
            store, _ = store_of(some[0])
            obstore.delete(store, [split_url(url).key for url in some])


def _portions(urls: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    for url in urls:
        portion.append(url)
        if len(portion) == _AT_ONCE:
            yield portion
            portion = []
    if portion:
        yield portion


def _found(bucket: str, meta: Mapping[str, Any]) -> ObjectUrl:
    written: datetime = meta["last_modified"]
    return ObjectUrl(f"{bucket}/{meta['path']}", meta["size"], int(written.timestamp()) * 10**9, meta["e_tag"] or "")
