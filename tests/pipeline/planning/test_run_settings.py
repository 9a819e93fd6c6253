"""What the record of a run says of its settings."""

from config import Config, load_config
from pipeline.planning.run_settings import read_settings
from utils.settings import declared


def test_a_record_has_every_setting_but_the_generators_and_whether_the_input_was_named() -> None:
    recorded = read_settings(load_config({"INPUT_DIR": "logs"}, {}, None)).as_record()
    assert set(recorded) == {name for name in declared(Config) if not name.startswith("GENERATOR_")} | {"INPUT_NAMED"}
    assert (recorded["INPUT_DIR"], recorded["INPUT_NAMED"]) == ("logs", True)
    assert read_settings(Config(INPUT_DIR="logs")).as_record() == recorded | {"INPUT_NAMED": False}
