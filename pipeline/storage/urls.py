"""URLs of objects: ``scheme://bucket/key``; any other text is the path of a local file."""

import re
from typing import NamedTuple

SCHEMES = ("s3", "gs", "az")
"""Amazon S3 and servers with its protocol; Google Cloud Storage; Azure Blob Storage (the bucket is a container)."""

_BEGINNINGS = tuple(f"{scheme}://" for scheme in SCHEMES)
_MAGIC = frozenset("*?[")
_UNUSABLE = re.compile(r"/\.{0,2}(?=/|$)")


def is_url(path: str) -> bool:
    """Whether ``path`` names objects of a storage, and no local file."""
    return path.startswith(_BEGINNINGS)


def has_magic(path: str) -> bool:
    """Whether ``path`` is a glob."""
    return not _MAGIC.isdisjoint(path)


class Place(NamedTuple):
    """``bucket``: scheme and name of the bucket, such as ``s3://logs``. ``key``: of an object, or a prefix of keys."""

    bucket: str
    key: str


def split_url(url: str) -> Place:
    """Divide a URL into bucket and key.

    Raises ValueError where it names no bucket, or an object that clients of storages take for another one: they leave
    out empty names, so that what was written would not be found by its URL.
    """
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if not bucket or has_magic(bucket):
        raise ValueError(f"{url!r} names no bucket: expected {scheme}://BUCKET/KEY.")
    if _UNUSABLE.search(f"/{key.removesuffix('/')}" if key else ""):
        raise ValueError(
            f"{url!r} has an empty name, . or .. between slashes, which storages do not keep apart. Expected names "
            f"alone, such as {scheme}://{bucket}/logs/today."
        )
    return Place(f"{scheme}://{bucket}", key)


def join_url(url: str, *names: str) -> str:
    """The URL of what is called so below ``url``."""
    return "/".join([url.rstrip("/"), *names])


class ObjectUrl(str):
    """The URL of an object that was found, with what the storage said of it.

    It is text like any path, so that all code that handles paths handles it. Whoever opens it reads these very bytes,
    or is told that the object has changed.

    ===============  ==========================================================
    ``size``         bytes
    ``modified_ns``  when it was written, by the storage's clock (epoch, ns)
    ``etag``         the storage's mark of its bytes: other bytes, other mark
    ===============  ==========================================================
    """

    __slots__ = ("etag", "modified_ns", "size")

    size: int
    modified_ns: int
    etag: str

    def __new__(cls, url: str, size: int, modified_ns: int, etag: str) -> "ObjectUrl":
        """Make the URL of an object that was found."""
        made = super().__new__(cls, url)
        made.size, made.modified_ns, made.etag = size, modified_ns, etag
        return made

    def __reduce__(self) -> tuple[type["ObjectUrl"], tuple[str, int, int, str]]:
        return ObjectUrl, (str(self), self.size, self.modified_ns, self.etag)
