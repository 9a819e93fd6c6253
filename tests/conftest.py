"""Settings of all tests: properties try the same examples on every run; HYPOTHESIS_PROFILE=explore tries new ones."""

import os

from hypothesis import HealthCheck, settings

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile("ci", derandomize=True, deadline=None, database=None, suppress_health_check=_QUIET)
settings.register_profile("explore", deadline=None, max_examples=2000, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

_SHOWN_BYTES = 12


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long bytes are named by their length: compressed ones may hold the time, and workers must collect the same."""
    if isinstance(val, bytes) and len(val) > _SHOWN_BYTES:
        return f"{argname} of {len(val):,} bytes"
    return None
