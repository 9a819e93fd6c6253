"""Opens the output at a path or a URL, and lets it show an earlier version."""

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from pipeline.errors import ConfigError, InputError
from pipeline.storage.faults import StorageFault
from pipeline.storage.urls import is_url
from pipeline.versions.folders import check_url
from pipeline.versions.lock import AnyLock, Lock
from pipeline.versions.output_link import Output


def open_output(output_dir: str, *, delta: bool = False) -> Output:
    """The output at OUTPUT_DIR, which is a path or a URL. ``delta``: TABLE_FORMAT. Raises ConfigError."""
    try:
        check_url("--output", output_dir)
    except ValueError as fault:
        raise ConfigError(str(fault)) from None
    if not is_url(output_dir):
        return Output(output_dir, delta=delta)
    from pipeline.versions.storage_output import StorageOutput

    return StorageOutput(output_dir, delta=delta)


@contextmanager
def locked(output: Output, name: str) -> Iterator[tuple[AnyLock, ...]]:
    """Hold an output as ``name`` while the block runs: its folder, and where several machines share it, its storage.

    Raises EnvironmentFault where another run holds it, StorageFault.
    """
    with ExitStack() as stack:
        yield tuple(stack.enter_context(lock) for lock in (Lock(output.versions, name), *output.locks(name)))


def is_shown(output_dir: str, version: str) -> bool:
    """Whether the output is known to show this version: also called where a storage does not answer."""
    with suppress(StorageFault, ConfigError):
        return open_output(output_dir).current() == version
    return False


def roll_back(output_dir: str, version: str | None, *, delta: bool = False) -> tuple[str, str]:
    """Make the link of ``output_dir`` show ``version``; None: the version that was published before the current one.

    ``delta``: let the Delta table follow. Returns the names of the version that was current and of the one that is now.
    Raises InputError where there is no such version, EnvironmentFault where a run holds the output, or the table cannot
    follow.
    """
    output = open_output(output_dir, delta=delta)
    output.check_place()
    if output.current() is None:
        raise InputError(
            f"nothing is published at {output_dir!r}: expected the link that a run makes. Name the right place "
            "with --output."
        )
    name = f"rollback-{time.time_ns()}-{uuid.uuid4().hex[:6]}"
    with locked(output, name):
        return _show_other(output, version)


def _show_other(output: Output, version: str | None) -> tuple[str, str]:
    """``roll_back`` while nobody else publishes or removes versions."""
    current, names = output.current(), output.version_names()
    if current is None:
        raise InputError(f"nothing is published at {str(output.link)!r} any more: the link was removed just now.")
    earlier = names[: names.index(current)] if current in names else names
    others = ", ".join(name for name in names if name != current) or "none"
    if version is None and not earlier:
        raise InputError(f"there is no version before {current}. Kept besides it: {others} (KEEP_VERSIONS).")
    target = version or earlier[-1]
    if target not in names:
        raise InputError(f"there is no version {target!r}. Kept besides {current}, which is shown: {others}.")
    if output.table:
        output.table.check()
    output.go_back()
    output.show(target)
    return current, target
