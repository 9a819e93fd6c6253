"""A settings file that nobody names again: what was read with it is not read anew."""

from pathlib import Path

from tests.end_to_end.command import command_json
from tests.end_to_end.program import environment


def test_forgetting_the_option_reads_nothing_again(logs: Path, tmp_path: Path) -> None:
    (tmp_path / "logmill.toml").write_text('WATCH_TIME_UNIT = "seconds"\n')
    first = command_json("--input", logs, "--config", "logmill.toml", cwd=tmp_path)
    again = command_json("--input", logs, cwd=tmp_path)
    assert again["new"]["files"] == 0
    assert again["total_watch_time_min"] == first["total_watch_time_min"] > 0
    elsewhere = command_json("--input", logs, cwd=tmp_path, env=environment(CONFIG=tmp_path / "logmill.toml"))
    assert elsewhere["new"]["files"] == 0, "the same settings by another way"
    without = command_json("--input", logs, "--no-config", cwd=tmp_path)
    assert without["new"]["files"] == first["files"], "other settings"
    assert round(without["total_watch_time_min"] / first["total_watch_time_min"]) == 60
