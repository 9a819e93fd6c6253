"""The settings of every job for telling a catalogue of data about its runs."""

from collections.abc import Mapping
from importlib.util import find_spec

from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError, install_command

LINEAGE_SETTINGS: Mapping[str, Setting] = {"lineage_to": "", "lineage_namespace": "logmill"}
"""Settings that every job has: the file or address that gets events (empty: none does), and the namespace of jobs."""


def check_lineage_settings(settings: Mapping[str, Setting]) -> None:
    """Raise ConfigError where events could not be given as the settings ask."""
    to = str(settings["lineage_to"])
    if not to:
        return
    if "://" in to and not to.startswith(("http://", "https://")):
        raise ConfigError("the setting lineage_to is no address: expected http://..., https://..., or a file")
    if find_spec("openlineage") is None:
        raise ConfigError(
            "the setting lineage_to needs a package that is not installed. Install it: "
            f"{install_command('requirements-lineage.txt')}"
        )
