"""The options of one run. The command line imports this module before anything heavy: it imports nothing itself."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RunOptions:
    """What the user asks of a run besides its settings.

    =================  ==========================================================
    ``replay``         files of corrected records, which count from now on
    ``full_refresh``   whether to start over, so that only the files of this input count
    ``add``            whether this input counts besides the earlier ones
    ``prune_missing``  whether files that are no longer there stop counting
    =================  ==========================================================
    """

    replay: tuple[str, ...] = ()
    full_refresh: bool = False
    add: bool = False
    prune_missing: bool = False


NO_OPTIONS = RunOptions()
