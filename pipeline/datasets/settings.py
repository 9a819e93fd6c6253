"""Settings of a job: its defaults, those of a settings file, and those of the command line."""

from collections.abc import Mapping, Sequence

from pipeline.datasets.job import Job
from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError

PLACES = ("source", "output")
"""Names in a table ``[job.NAME]`` that say where the job reads and publishes."""


def read_settings(
    job: Job, table: object, assigned: Sequence[str], environment: str | None = None
) -> tuple[str | None, str | None, dict[str, Setting]]:
    """(source, output, settings) of a job by its environment, its table in a settings file and ``NAME=VALUE`` of the
    command line; the last one wins.

    Raises ConfigError for a name that the job does not have, or a value of another type than the default.
    """
    if not isinstance(table, Mapping):
        raise ConfigError(f"job.{job.name} in the settings file is {table!r}, expected a table")
    found = dict(job.environments.get(environment or "", {}))
    found |= {
        name: _typed(job, name, value, f"[job.{job.name}]") for name, value in table.items() if name not in PLACES
    }
    for word in assigned:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--set: {word!r} is no setting: expected NAME=VALUE")
        found[name] = _typed(job, name, _parsed(job, name, text), "--set")
    places = [table.get(name) for name in PLACES]
    if wrong := [place for place in places if place is not None and not isinstance(place, str)]:
        raise ConfigError(f"[job.{job.name}]: {wrong[0]!r} is no path")
    return places[0], places[1], found


def _parsed(job: Job, name: str, text: str) -> Setting:
    """The text of the command line as a value of the type of the default."""
    default = job.settings.get(name)
    try:
        if isinstance(default, bool):
            return {"true": True, "yes": True, "false": False, "no": False}[text.lower()]
        return type(default)(text) if isinstance(default, int | float) else text
    except (KeyError, ValueError):
        raise ConfigError(f"--set: {name} is {text!r}, expected a value such as {default!r}") from None


def _typed(job: Job, name: str, value: object, where: str) -> Setting:
    if name not in job.settings:
        known = ", ".join((*job.settings, *PLACES))
        raise ConfigError(f"{where}: job {job.name} has no setting {name}. It has {known}.")
    default = job.settings[name]
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default) or not isinstance(value, str | int | float | bool):
        raise ConfigError(f"{where}: {name} is {value!r}, expected a value such as {default!r}")
    return value
