"""Going back to an earlier version: its link, and with it what later runs go on from."""

import time
import uuid

from config import Config
from pipeline.errors import InputError
from pipeline.lock import Lock
from pipeline.output import Output


def roll_back(config: Config, version: str | None) -> tuple[str, str]:
    """Show ``version``, or else the one published before the current; returns (current until now, current now).

    Raises InputError where there is no such version, EnvironmentFault where a run holds the output.
    """
    output = Output(config.OUTPUT_DIR)
    output.check_place()
    current, names = output.current(), output.version_names()
    if current is None:
        raise InputError(
            f"nothing is published at {config.OUTPUT_DIR!r}: expected the link that a run makes. Name the right place "
            "with --output."
        )
    earlier = names[: names.index(current)] if current in names else names
    shown = ", ".join(name for name in names if name != current) or "none"
    if version is None and not earlier:
        raise InputError(f"there is no version before {current}. Kept besides it: {shown} (KEEP_VERSIONS).")
    target = version or earlier[-1]
    if target not in names:
        raise InputError(f"there is no version {target!r}. Kept besides {current}, which is shown: {shown}.")
    with Lock(output.versions, f"rollback-{time.time_ns()}-{uuid.uuid4().hex[:6]}"):
        output.show(target)
    return current, target
