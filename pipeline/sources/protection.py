"""Hides personal values of a source before its rows leave bronze: each column is hashed, encrypted, cut or dropped.

Equal values of equal columns stay equal (but for ``drop``), so that rows can still be compared, joined and counted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import polars as pl
import polars_hash as plh

from pipeline.errors import ConfigError, install_command
from pipeline.privacy import KeySource, pseudonym_of
from pipeline.sources.contract import Contract

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

METHODS = ("hash", "encrypt", "cut", "drop", "keep")
USUAL_METHOD = "hash"
ENCRYPTED = "enc1:"
"""How encrypted values begin: AES-256-GCM, base64 of nonce, ciphertext and tag."""
HIDDEN = "***"
"""What stands for the part of a value that is cut off."""
BEFORE_KEY = "; key "
"""What stands between methods and key in a mark."""
_NONCE_BYTES = 12
_PURPOSES = (b"logmill: key of encryption", b"logmill: key of nonces")


@dataclass(frozen=True)
class Protection:
    """How the personal values of a source are hidden.

    ``columns``: by column its method and its class; those that are kept are not there. ``key``: where the key is; None
    where no method needs one.
    """

    columns: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    key: KeySource | None = None

    @property
    def mark(self) -> str:
        """Changes whenever values would be hidden otherwise; empty: nothing is hidden."""
        told = ", ".join(f"{name}: {method} {kind}" for name, (method, kind) in sorted(self.columns.items()))
        return f"{told}{BEFORE_KEY}{self.key.digest[:16]}" if self.key else told

    def hide(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows with hidden values. Raises EnvironmentFault where the key is another one than the run began with."""
        key = self.key.load() if self.key else b""
        return rows.with_columns(
            _hide(rows[name], method, kind, key)
            for name, (method, kind) in self.columns.items()
            if name in rows.columns
        )


def choose_methods(contract: type[Contract], chosen: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """By personal column its method and class. ``chosen``: methods by class; without one the value is hashed.

    Raises ConfigError where a method cannot hide the values of a column.
    """
    found = {}
    for name, column in contract.columns.items():
        method = chosen.get(column.sensitive or "", USUAL_METHOD)
        if column.sensitive is None or method == "keep":
            continue
        where = f"column {name} of {contract.__name__} (class {column.sensitive})"
        if method == "drop" and not column.may_be_null:
            raise ConfigError(f"{where} is never null, and drop makes it null: declare nullable=True, or choose hash.")
        if method != "drop" and column.dtype != pl.String():
            raise ConfigError(f"{where} is no text, and {method} makes texts: choose drop or keep for the class.")
        if column.forget and method in ("cut", "drop"):
            raise ConfigError(f"{where} tells who is to be forgotten, and {method} hides that: choose hash or encrypt.")
        found[name] = (method, column.sensitive)
    return found


def check_installed() -> None:
    """Raise ConfigError where the package for encryption is missing."""
    if find_spec("cryptography") is None:
        raise ConfigError(
            "the method encrypt needs a package that is not installed. Install it: "
            f"{install_command('requirements-encryption.txt')}"
        )


def hide_text(value: str, method: str, kind: str, key: bytes) -> str:
    """One value as ``hash`` or ``encrypt`` hides it, or ``cut``."""
    return str(_hide(pl.Series("value", [value]), method, kind, key)[0])


def decrypt(value: str, key: bytes) -> str:
    """The clear text of an encrypted value. ``key``: the bytes of the key file without the line end.

    Raises ValueError where the value was not encrypted with this key.
    """
    from base64 import b64decode

    from cryptography.exceptions import InvalidTag

    if not value.startswith(ENCRYPTED):
        raise ValueError(f"no encrypted value: expected a text that begins with {ENCRYPTED}")
    sealed = b64decode(value.removeprefix(ENCRYPTED), validate=True)
    try:
        return _cipher(key)[0].decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None).decode()
    except InvalidTag:
        raise ValueError("the value was encrypted with another key, or is damaged") from None


def _hide(values: pl.Series, method: str, kind: str, key: bytes) -> pl.Series:
    if method == "drop":
        return pl.Series(values.name, [None], values.dtype).new_from_index(0, len(values))
    if method == "cut":
        return values.to_frame().select(_cut(pl.col(values.name), kind)).to_series()
    if method == "hash" and (text := _as_text(key)) is not None:
        return values.to_frame().select(plh.col(values.name).chash.hmac_sha256(key=text)).to_series()
    distinct = values.drop_nulls().unique()
    one = pseudonym_of if method == "hash" else _encrypt
    hidden = pl.Series([one(value, key) for value in distinct], dtype=pl.String)
    return values.replace_strict(distinct, hidden, return_dtype=pl.String)


def _as_text(key: bytes) -> str | None:
    """The key as polars-hash takes it, which is ten times as fast as Python; None where it is no text."""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return None


def _cut(text: pl.Expr, kind: str) -> pl.Expr:
    """What is left of values of a class: domain, last two digits, initials, or the first character."""
    rest = pl.lit(HIDDEN)
    if kind == "email":
        left = pl.when(text.str.contains("@", literal=True)).then(rest + "@" + text.str.split("@").list.last())
    elif kind == "phone":
        left = pl.when(text.str.len_chars() >= 6).then(rest + text.str.tail(2))
    elif kind == "name":
        initials = text.str.extract_all(r"\b\p{L}").list.join(". ")
        left = pl.when(initials != "").then(initials + ".")
    else:
        left = pl.when(text.str.len_chars() >= 2).then(text.str.head(1) + rest)
    return pl.when(text.is_not_null()).then(left.otherwise(rest)).alias(text.meta.output_name())


def _encrypt(value: str, key: bytes) -> str:
    """The nonce follows from the value: equal values give equal texts, and two values share a nonce by chance alone."""
    import hmac
    from base64 import b64encode

    cipher, nonces = _cipher(key)
    clear = value.encode()
    nonce = hmac.digest(nonces, clear, "sha256")[:_NONCE_BYTES]
    return ENCRYPTED + b64encode(nonce + cipher.encrypt(nonce, clear, None)).decode()


@lru_cache(maxsize=1)
def _cipher(key: bytes) -> "tuple[AESGCM, bytes]":
    """The cipher, and the key of its nonces. Both keys follow from the one of the user, which is the text of the HMAC
    and not its key, as it is in pseudonyms: no value has one of them for its pseudonym."""
    import hmac

    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    sealing, nonces = (hmac.digest(purpose, key, "sha256") for purpose in _PURPOSES)
    return AESGCM(sealing), nonces
