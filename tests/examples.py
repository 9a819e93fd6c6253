"""How many examples a property tries: all of them in ``make fuzz``, a third in the suite."""

import os

from hypothesis import settings

FEW = 15
"""Fewer are not worth the name of a property: where no more are asked for, the suite tries all."""


def tries(count: int) -> settings:
    """The settings of a property that tries ``count`` examples where HYPOTHESIS_PROFILE is explore."""
    whole = os.environ.get("HYPOTHESIS_PROFILE") == "explore"
    return settings(max_examples=count if whole else max(min(count, FEW), count // 3))
