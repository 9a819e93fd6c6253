"""Where the key of pseudonyms is, so that every process can read it by itself: no message carries the key."""

import os
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, EnvironmentFault

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
        import hmac

        key = _read(self.path)
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
    import hmac  # with OpenSSL, which every command would load: config.py imports the module

    return hmac.digest(key, _KNOWN_TEXT, "sha256").hex()
