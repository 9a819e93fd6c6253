"""Turns what the client of a storage raises into messages that say what to do.

Texts of servers and of the client are never shown: they may hold a key's id, a signature or a session's token.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import EnvironmentFault

CHANGED = errno.ESTALE
"""The error number of an object that has other bytes than when it was found."""


class StorageFault(EnvironmentFault):
    """The storage cannot be used. ``no_bucket``: because there is no such bucket."""

    def __init__(self, message: str, no_bucket: bool = False) -> None:
        super().__init__(message, no_bucket)
        self.no_bucket = no_bucket

    def __str__(self) -> str:
        return str(self.args[0])


class AlreadyThere(Exception):
    """An object of this name exists already."""


_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_BAD_KEY = re.compile(r'path: ("(?:[^"\\]|\\.)*")')
_STATUS = re.compile(r"status code: ([0-9]{3})")

_NO_BUCKET = re.compile("NoSuchBucket|ContainerNotFound|The specified bucket does not exist")
_OTHER_REGION = re.compile(
    "PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint|incorrectly configured region"
)
_REFUSED_KEY = re.compile(
    "InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired|AuthenticationFailed|"
    "RequestTimeTooSkewed|Unauthenticated"
)
_NO_KEY = re.compile(
    "169\\.254\\.169\\.254|latest/api/token|meta-data|computeMetadata|[Cc]redential|OAuth|Account must be specified"
)
_NO_ANSWER = re.compile("ConnectError|kind: Connect|dns error|error sending request|TimedOut|timed out|Timeout")

_ADVICE = (
    (_NO_BUCKET, "there is no such bucket. Make it, or correct its name or the endpoint (AWS_ENDPOINT_URL)."),
    (_OTHER_REGION, "the bucket lies in another region than it was asked in. Set AWS_REGION to the bucket's region."),
    (
        _REFUSED_KEY,
        "the storage refuses these credentials: unknown, expired, or for another endpoint. Renew them "
        "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN or AWS_PROFILE).",
    ),
    (
        _NO_KEY,
        "no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE (s3), "
        "GOOGLE_APPLICATION_CREDENTIALS (gs), AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (az), or run "
        "where the machine has a role.",
    ),
)


@contextmanager
def faults_explained(url: str, doing: str) -> Iterator[None]:
    """Explain what the client raises in the block, which works on the object or prefix ``url``.

    ``doing``: what failed then, such as ``be read``. Raises FileNotFoundError where there is no such object, OSError
    with the number ``CHANGED`` where it has other bytes, AlreadyThere where it exists and must not, and otherwise
    StorageFault.
    """
    try:
        yield
    except Exception as fault:
        explained = _explain(fault, url, doing)
        if explained is None:
            raise
        raise explained from None


def _explain(fault: Exception, url: str, doing: str) -> Exception | None:
    """The error for what the client raised; None where it comes from elsewhere."""
    from obstore.exceptions import AlreadyExistsError, BaseError, InvalidPathError, PreconditionError

    text = str(fault)
    if isinstance(fault, FileNotFoundError):
        if not _NO_BUCKET.search(text):
            return FileNotFoundError(errno.ENOENT, "there is no such object", url)
    elif isinstance(fault, AlreadyExistsError):
        return AlreadyThere(url)
    elif isinstance(fault, PreconditionError):
        return OSError(CHANGED, "it changed while it was read", url)
    elif isinstance(fault, InvalidPathError):
        key = found[1] if (found := _BAD_KEY.search(text)) else "of an object"
        return StorageFault(
            f"{url} cannot {doing}: the key {key} is not usable. Expected names with single slashes between, which are "
            "not . or .., without control characters. Rename or remove the object."
        )
    elif not isinstance(fault, BaseError):
        return None
    return StorageFault(f"{url} cannot {doing}: {_reason(fault, text)}", bool(_NO_BUCKET.search(text)))


def _reason(fault: Exception, text: str) -> str:
    for pattern, advice in _ADVICE:
        if pattern.search(text) or pattern.search(type(fault).__name__):
            return advice
    code, status = _CODE.search(text), _STATUS.search(text)
    if (status and status[1] == "403") or type(fault).__name__ == "PermissionDeniedError":
        return "the storage forbids it. Allow these credentials to list, read, write and delete there."
    if not status and _NO_ANSWER.search(text):
        return "nothing answers there. Check the network and the endpoint (AWS_ENDPOINT_URL), and run again."
    answer = " ".join([*([f"status {status[1]}"] if status else []), *([f"({code[1]})"] if code else [])])
    return (
        f"the storage answered {answer or 'nothing that is understood'}. Run again; if it stays so, ask its operator."
    )
