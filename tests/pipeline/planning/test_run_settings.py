"""What the record of a run says of its settings."""

from config import Config, load_config
from pipeline.planning.run_settings import read_settings
from utils.settings import declared


def test_a_record_has_every_setting_but_the_generators_and_whether_the_input_was_named() -> None:
    shown = read_settings(load_config({"INPUT_DIR": "logs"}, {}, None)).shown()
    assert set(shown) == {name for name in declared(Config) if not name.startswith("GENERATOR_")} | {"INPUT_NAMED"}
    assert (shown["INPUT_DIR"], shown["INPUT_NAMED"]) == ("logs", True)
    assert read_settings(Config(INPUT_DIR="logs")).shown() == shown | {"INPUT_NAMED": False}
