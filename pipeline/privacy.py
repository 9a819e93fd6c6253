"""Hides people: cuts IP addresses to their networks, replaces user ids by pseudonyms, and finds the key of those.

Settings and messages import this module first, so that Polars, which takes a tenth of a second to load, and OpenSSL are
imported by the functions that use them.
"""

import codecs
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
_TOKEN = re.compile(r"[0-9A-Fa-f:.]+")
"""Matches in one way only, so that the time is linear: a value may be hostile, and a megabyte long."""
KEY_VARIABLE = "LOGMILL_PSEUDONYM_KEY"
MIN_KEY_BYTES = 16
_KNOWN_TEXT = b"logmill: the same key?"
"""Its HMAC tells whether a key is still the same."""
REMEMBERED_USERS = 1 << 16
"""Pseudonyms that a worker remembers: about 25 MB."""
_HMAC_BLOCK = 64
_HMAC_PADS = {pad: bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C)}
"""Tables for ``bytes.translate``: each byte XOR ipad or opad (RFC 2104)."""


def mask_addresses(text: str) -> str:
    """``text`` with every IP address replaced by its network: 8.8.8.0/24, 2001:db8:1::/48.

    An IPv4 address within IPv6 (``::ffff:8.8.8.8``) is cut as IPv4. Text that is nearly an address (a quad with leading
    zeros, five or more groups with colons) is cut as well, because a misspelled address can still identify a person.
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


@dataclass(frozen=True)
class KeySource:
    """Where the key of pseudonyms is: never the key itself, because this value goes to workers and messages.

    ``path``: of the key file; empty for the environment variable. ``digest``: tells another key apart.
    """

    path: str
    digest: str

    def load(self) -> bytes:
        """Read the key; raises EnvironmentFault where it is not the key that the run began with, ConfigError where it
        cannot be read here."""
        if not self.path and KEY_VARIABLE not in os.environ:
            raise ConfigError(
                f"the key is in {KEY_VARIABLE}, which the executors of a cluster do not get. Put it into a file that "
                "they see under the same path, and name that by PSEUDONYM_KEY_FILE."
            )
        key = _read(self.path)
        import hmac

        if not hmac.compare_digest(_digest(key), self.digest):
            raise EnvironmentFault("the key of pseudonyms changed during the run. Nothing was published. Run again.")
        return key


def find_key(path: str) -> KeySource:
    """Find the key in the file ``path``, or in the environment where ``path`` is empty.

    Raises ConfigError where there is no key, where there are two, or where the key is too short; no message shows it.
    """
    if path and KEY_VARIABLE in os.environ:
        raise ConfigError(f"there are two keys, in PSEUDONYM_KEY_FILE and in {KEY_VARIABLE}: expected one. Unset one.")
    path = str(Path(path).absolute()) if path else ""
    return KeySource(path, _digest(_read(path)))


def has_key(path: str) -> bool:
    """Whether somebody gave a key: in the file ``path``, or in the environment where ``path`` is empty."""
    return bool(path) or KEY_VARIABLE in os.environ


def _read(path: str) -> bytes:
    """Read the key. No message shows the path, because somebody may have written the key itself there."""
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
    # Editors add a line end, and on Windows a byte-order mark: neither is part of the key.
    key = key.removeprefix(codecs.BOM_UTF8).removesuffix(b"\n").removesuffix(b"\r")
    if len(key) < MIN_KEY_BYTES:
        where = "PSEUDONYM_KEY_FILE" if path else KEY_VARIABLE
        raise ConfigError(
            f"the key of pseudonyms ({where}) has {len(key)} bytes: expected at least {MIN_KEY_BYTES}, or users could "
            "be found by trying keys. To make one: openssl rand -hex 32"
        )
    return key


def _digest(key: bytes) -> str:
    import hmac  # loads OpenSSL

    return hmac.digest(key, _KNOWN_TEXT, "sha256").hex()


def pseudonym_of(user: str, key: bytes) -> str:
    """The pseudonym of one user: HMAC-SHA-256 of the user id, in hexadecimal digits."""
    return _pseudonyms(key)(user)


def hide_users(rows: "pl.DataFrame", key: bytes) -> "pl.DataFrame":
    """``rows`` with pseudonyms in the column ``user_id`` (String)."""
    import polars as pl

    users = rows["user_id"].unique()
    pseudonym = _pseudonyms(key)
    hidden = pl.Series([pseudonym(user) for user in users], dtype=pl.String)
    return rows.with_columns(rows["user_id"].replace_strict(users, hidden, return_dtype=pl.String))


def hide_ids(rows: "pl.DataFrame", key: bytes) -> "pl.DataFrame":
    """``rows`` with pseudonyms in the column ``log_id`` (String): an id of several columns may hold the user."""
    import hmac

    import polars as pl

    hidden = [hmac.digest(key, log_id.encode(), "sha256").hex() for log_id in rows["log_id"].to_list()]
    return rows.with_columns(pl.Series("log_id", hidden, dtype=pl.String))


def hide_in_rejected(rejected: "pl.DataFrame", user_column: str, key: bytes) -> "pl.DataFrame":
    """Rejected records (``reading.text_parser.REJECTED``) without user ids.

    A value of ``user_column`` (the header's name of user_id) becomes its pseudonym. Other values become null, and raw
    bytes empty, because a rejected record may have its user_id in any of its fields.
    """
    import polars as pl

    pseudonym = _pseudonyms(key)
    values = [
        pseudonym(value) if column == user_column and value is not None else None
        for column, value in rejected.select("column", "value").iter_rows()
    ]
    return rejected.with_columns(pl.Series("value", values, dtype=pl.String), pl.lit(b"", pl.Binary).alias("raw"))


@lru_cache(maxsize=1)
def _pseudonyms(key: bytes) -> Callable[[str], str]:
    """A function from a user id to its HMAC-SHA-256 (RFC 2104), which remembers the last users.

    The two blocks of the key are hashed once: half the time of ``hmac.digest`` for short texts.
    """
    import hashlib

    block = (hashlib.sha256(key).digest() if len(key) > _HMAC_BLOCK else key).ljust(_HMAC_BLOCK, b"\0")
    inner, outer = (hashlib.sha256(block.translate(table)) for table in _HMAC_PADS.values())

    @lru_cache(REMEMBERED_USERS)
    def pseudonym(user: str) -> str:
        first, second = inner.copy(), outer.copy()
        first.update(user.encode())
        second.update(first.digest())
        return second.hexdigest()

    return pseudonym
