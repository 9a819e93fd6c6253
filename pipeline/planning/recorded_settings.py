"""The settings of a run as its record shows them. Imports nothing heavy."""

from config import Config
from pipeline.machine import display_name
from utils.settings import declared


def record_settings(config: Config) -> dict[str, object]:
    """All settings but the generator's, as ``run.json`` holds them: paths and texts as they can be shown."""
    names = [name for name in declared(config) if not name.startswith("GENERATOR_")]
    values = {name: getattr(config, name) for name in names}
    # INPUT_NAMED is no setting any more, but earlier records have it. Without it, a run that finds nothing new
    # would differ from a version of an earlier release, and publish another one for that alone.
    values["INPUT_NAMED"] = "INPUT_DIR" in config.origins
    return {name: display_name(value) if isinstance(value, str) else value for name, value in values.items()}
