"""The client of each bucket, with the credentials that its provider's tools would take."""

import os
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError, install_command
from pipeline.storage.urls import split_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_RETRIES = int(os.environ.get("LOGMILLTEST_STORAGE_RETRIES", "8"))
"""How often a request is tried again, with growing pauses: about 15 seconds in all."""


def check_installed() -> None:
    """Raise ConfigError where the packages for object storage are missing."""
    if find_spec("obstore") is None:
        raise ConfigError(
            "object storage needs packages that are not installed. Install them: "
            f"{install_command('requirements-storage.txt')}"
        )


def store_of(url: str) -> tuple["ObjectStore", str]:
    """The client of the bucket of ``url``, and the key in it. Raises ConfigError where the packages are missing."""
    try:
        bucket, key = split_url(url)
    except ValueError as fault:
        raise ConfigError(str(fault)) from None
    return _open(bucket, os.getpid()), key


@lru_cache(maxsize=16)
def _open(bucket: str, _process: int) -> "ObjectStore":
    """The client of a bucket, which a process must make for itself: it has threads."""
    check_installed()
    from obstore.store import AzureStore, GCSStore, S3Store

    scheme, _, name = bucket.partition("://")
    options: Any = {
        "client_options": {"timeout": "120s", "connect_timeout": "10s", "allow_http": _plain_http()},
        "retry_config": {
            "max_retries": _RETRIES,
            "retry_timeout": timedelta(seconds=90),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
        },
    }
    if scheme == "gs":
        return GCSStore(name, **options)
    if scheme == "az":
        return AzureStore(name, **options)
    return S3Store(name, credential_provider=_profile(), **options)


def _plain_http() -> bool:
    """Whether the user named an endpoint without encryption, such as a server on this machine."""
    names = "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "GOOGLE_BASE_URL"
    return any(os.environ.get(name, "").startswith("http://") for name in names)


def _profile() -> Any:
    """What reads profiles of ``~/.aws``, also SSO and roles; None where environment or machine have credentials."""
    given = os.environ.get("AWS_ACCESS_KEY_ID") and not os.environ.get("AWS_PROFILE")
    usual = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    files = [Path(os.environ.get(name, path)).expanduser() for name, path in usual.items()]
    if given or not (os.environ.get("AWS_PROFILE") or any(path.is_file() for path in files)):
        return None
    from obstore.auth.boto3 import Boto3CredentialProvider

    return Boto3CredentialProvider()
