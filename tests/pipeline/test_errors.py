"""Every failure of a run is a LogmillError with one of the documented exit codes, and crosses a process."""

import pickle

import pytest

from pipeline import errors

CODES = {
    "LogmillError": 1,
    "BalanceError": 1,
    "ConfigError": 2,
    "InputError": 3,
    "FileRefused": 3,
    "EnvironmentFault": 5,
    "WorkerDied": 5,
}
"""As the README promises; 4 is a gate's, which is no error."""


def test_every_error_has_its_documented_code() -> None:
    classes = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name: kind.exit_code for name, kind in classes.items()} == CODES
    assert all(issubclass(kind, errors.LogmillError) for kind in classes.values())


@pytest.mark.parametrize("name", CODES)
def test_an_error_crosses_a_process_with_its_message(name: str) -> None:
    copy = pickle.loads(pickle.dumps(getattr(errors, name)("what was found")))
    assert (type(copy).__name__, str(copy)) == (name, "what was found")
