"""What the user asks of a run besides its settings."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """``replay``: files of mended records; ``full_refresh``: start over; ``add``: another input counts besides those
    before; ``prune_missing``: files that have left no longer count."""

    replay: tuple[str, ...] = ()
    full_refresh: bool = False
    add: bool = False
    prune_missing: bool = False


NOTHING_SPECIAL = Request()
