"""What hides people: addresses cut to their networks, users under pseudonyms, and where the key of these is.

Settings and messages need this module before anything else: Polars, which takes a tenth of a second, is imported where
frames are at hand.
"""

import ipaddress
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, EnvironmentFault

if TYPE_CHECKING:
    import polars as pl

_QUAD = re.compile(r"(?<![0-9.])([0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})\.[0-9]+(?![0-9]|\.[0-9])")


_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")  # no more than one way to match: values may be hostile, and a megabyte long


def mask_addresses(text: str) -> str:
    """``text`` with every address in it replaced by its network: 8.8.8.0/24, 2001:db8:1::/48.

    An IPv4 address within IPv6 (``::ffff:8.8.8.8``) is cut as IPv4. What only looks like an address (a quad with
    leading zeros, five or more groups with colons) is cut as well: a misspelled address still tells of a person.
    Times such as 12:30:00 stay.
    """
    if ":" in text:
        text = _TOKEN.sub(lambda found: _mask_ipv6(found[0]), text)
    return _QUAD.sub(r"\1.0/24", text)


def _mask_ipv6(token: str) -> str:
    if token.count(":") < 2:
        return token
    text = token.rstrip(".")
    groups = text.split(":")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        masked = ":".join(groups[:3]).rstrip(":") + "::/48" if len(groups) > 4 or "::" in text else text
    else:
        masked = str(address.ipv4_mapped or ipaddress.IPv6Network((address, 48), strict=False))
    return masked + token[len(text) :]


KEY_VARIABLE = "LOGMILL_PSEUDONYM_KEY"
MIN_KEY_BYTES = 16
_KNOWN_TEXT = b"logmill: the same key?"


@dataclass(frozen=True)
class KeySource:
    """A key file (or the environment variable, where ``path`` is empty), and a digest that tells another key apart."""

    path: str
    digest: str

    def load(self) -> bytes:
        """The key, read anew; raises EnvironmentFault where it is not the one that the run began with."""
        key = _read(self.path)
        import hmac

        if not hmac.compare_digest(_digest(key), self.digest):
            raise EnvironmentFault("the key of pseudonyms changed during the run. Nothing was published. Run again.")
        return key


def find_key(path: str) -> KeySource:
    """The key in the file ``path``, or in the environment where that is empty.

    Raises ConfigError, without the key, where there is none, where there are two, or where it is too short.
    """
    if path and KEY_VARIABLE in os.environ:
        raise ConfigError(f"there are two keys, in PSEUDONYM_KEY_FILE and in {KEY_VARIABLE}: expected one. Unset one.")
    path = str(Path(path).absolute()) if path else ""
    return KeySource(path, _digest(_read(path)))


def _read(path: str) -> bytes:
    """The key. No message shows the path, in case somebody wrote the key itself there."""
    if not path and KEY_VARIABLE not in os.environ:
        raise ConfigError(
            f"PSEUDONYMIZE_USERS needs a key of at least {MIN_KEY_BYTES} bytes, found none. "
            f"Name a file with it by PSEUDONYM_KEY_FILE, or set {KEY_VARIABLE}. To make one: openssl rand -hex 32"
        )
    try:
        key = Path(path).read_bytes() if path else os.fsencode(os.environ[KEY_VARIABLE])
    except (OSError, ValueError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) else "no path"
        raise ConfigError(
            f"PSEUDONYM_KEY_FILE: expected a file with the key, which could not be read ({reason}). Check the path."
        ) from None
    key = key.removesuffix(b"\n").removesuffix(b"\r")
    if len(key) < MIN_KEY_BYTES:
        where = "PSEUDONYM_KEY_FILE" if path else KEY_VARIABLE
        raise ConfigError(
            f"the key of pseudonyms ({where}) has {len(key)} bytes: expected at least {MIN_KEY_BYTES}, or users could "
            "be found by trying keys. To make one: openssl rand -hex 32"
        )
    return key


def _digest(key: bytes) -> str:
    import hmac  # with OpenSSL, which every command would load: config.py imports this module

    return hmac.digest(key, _KNOWN_TEXT, "sha256").hex()


REMEMBERED_USERS = 1 << 16
"""Pseudonyms that a worker remembers: about 25 MB."""
_BLOCK = 64
_FROM_KEY = {pad: bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C)}


def pseudonym_of(user: str, key: bytes) -> str:
    """The pseudonym of one user."""
    return _pseudonyms(key)(user)


def hide_users(rows: "pl.DataFrame", key: bytes) -> "pl.DataFrame":
    """``rows`` with pseudonyms in the column user_id (String)."""
    import polars as pl

    users = rows["user_id"].unique()
    pseudonym = _pseudonyms(key)
    hidden = pl.Series([pseudonym(user) for user in users], dtype=pl.String)
    return rows.with_columns(rows["user_id"].replace_strict(users, hidden, return_dtype=pl.String))


def hide_in_rejected(rejected: "pl.DataFrame", user_column: str, key: bytes) -> "pl.DataFrame":
    """Rejected records without what tells a user. ``user_column``: the user_id's name in the header.

    A value of that column becomes its pseudonym; other values and the raw bytes are removed, because a record that is
    rejected may have its user_id anywhere.
    """
    import polars as pl

    pseudonym = _pseudonyms(key)
    values = [
        pseudonym(value) if of == user_column and value is not None else None
        for of, value in rejected.select("column", "value").iter_rows()
    ]
    return rejected.with_columns(pl.Series("value", values, dtype=pl.String), pl.lit(b"", pl.Binary).alias("raw"))


@lru_cache(maxsize=1)
def _pseudonyms(key: bytes) -> Callable[[str], str]:
    """HMAC by RFC 2104 with the key's two blocks hashed once: half the time of ``hmac.digest`` for short texts."""
    import hashlib

    block = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(block.translate(_FROM_KEY[pad])) for pad in (0x36, 0x5C))

    @lru_cache(REMEMBERED_USERS)
    def pseudonym(user: str) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(user.encode())
        second.update(first.digest())
        return second.hexdigest()

    return pseudonym
