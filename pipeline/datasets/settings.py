"""Settings of a job: its defaults, those of a settings file, and those of the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.datasets.job import Job
from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError

PLACES = ("source", "output")
"""Names in a table ``[job.NAME]`` that say where the job reads and publishes."""
PERSONAL, NAMES, BRONZE_DAYS = "personal", "names", "bronze_days"
"""Names there of how personal data is hidden, by class; of how a deployment calls tables and columns of sources; and of
how many days bronze keeps what no version needs."""


@dataclass(frozen=True)
class JobSettings:
    """What a settings file and the command line say of a job; None or nothing: they do not say it.

    ===============  =============================================================
    ``source``       folder of the sources
    ``output``       where tables are published
    ``values``       the job's own settings
    ``personal``     by class of personal data: how it is hidden
    ``names``        by source its table, by ``source.column`` its column
    ``bronze_days``  after how many days bronze loses what no kept version needs
    ===============  =============================================================
    """

    source: str | None = None
    output: str | None = None
    values: Mapping[str, Setting] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    bronze_days: int = 0


ASKS_NOTHING = JobSettings()


def read_settings(job: Job, table: object, assigned: Sequence[str], environment: str | None = None) -> JobSettings:
    """The settings of a job by its environment, its table in a settings file and ``NAME=VALUE`` of the command line.

    The last one wins. Raises ConfigError for a name that the job does not have, or a value of another type than the
    default.
    """
    where = f"[job.{job.name}]"
    if not isinstance(table, Mapping):
        raise ConfigError(f"job.{job.name} in the settings file is {table!r}, expected a table")
    common = (*PLACES, PERSONAL, NAMES, BRONZE_DAYS)
    found = dict(job.environments.get(environment or "", {}))
    found |= {name: _typed(job, name, value, where) for name, value in table.items() if name not in common}
    texts = {PERSONAL: '{ email = "encrypt" }', NAMES: '{ orders = "shop.orders", "orders.ordered_at" = "placed_on" }'}
    personal, names = (_texts(table.get(name, {}), f"{where}: {name}", such) for name, such in texts.items())
    days = table.get(BRONZE_DAYS, 0)
    for word in assigned:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"--set: {word!r} is no setting: expected NAME=VALUE")
        if name.startswith((f"{PERSONAL}.", f"{NAMES}.")):
            kind, _, of = name.partition(".")
            (personal if kind == PERSONAL else names)[of] = text
        elif name == BRONZE_DAYS:
            days = int(text) if text.isdecimal() else text
        else:
            found[name] = _typed(job, name, _parsed(job, name, text), "--set")
    if not isinstance(days, int) or isinstance(days, bool) or days < 0:
        raise ConfigError(f"{BRONZE_DAYS} is {days!r}, expected a number of days; 0: for ever")
    places = [table.get(name) for name in PLACES]
    if wrong := [place for place in places if place is not None and not isinstance(place, str)]:
        raise ConfigError(f"{where}: {wrong[0]!r} is no path")
    return JobSettings(places[0], places[1], found, personal, names, days)


def _texts(given: object, where: str, such: str) -> dict[str, str]:
    """A table of texts, as a new dictionary."""
    if isinstance(given, Mapping) and all(isinstance(text, str) for text in given.values()):
        return dict(given)
    raise ConfigError(f"{where} is {given!r}, expected a table such as {such}")


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
        known = ", ".join((*job.settings, *PLACES, BRONZE_DAYS, f"{PERSONAL}.CLASS", f"{NAMES}.SOURCE"))
        raise ConfigError(f"{where}: job {job.name} has no setting {name}. It has {known}.")
    default = job.settings[name]
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default) or not isinstance(value, str | int | float | bool):
        raise ConfigError(f"{where}: {name} is {value!r}, expected a value such as {default!r}")
    return value
