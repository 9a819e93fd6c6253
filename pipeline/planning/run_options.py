"""What the user asks of one run. The command line reads it before anything heavy is loaded: it imports nothing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """What the user asks of a run besides its settings.

    =================  ==========================================================
    ``replay``         files of corrected records that count from now on
    ``full_refresh``   start over: only the files of this input count
    ``add``            this input counts besides those before
    ``prune_missing``  files that are no longer there stop counting
    =================  ==========================================================
    """

    replay: tuple[str, ...] = ()
    full_refresh: bool = False
    add: bool = False
    prune_missing: bool = False


NO_OPTIONS = RunOptions()
