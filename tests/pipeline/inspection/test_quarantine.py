"""Rejected records as a file that can be corrected and replayed, over real runs."""

import csv
import io
import json
import stat
from contextlib import chdir
from pathlib import Path

import pytest

from cli.arguments import parse_arguments
from cli.console import Answer
from cli.quarantine import quarantine_command
from config import Config
from pipeline.errors import ConfigError, InputError
from pipeline.inspection.quarantine import export_rejected
from pipeline.planning.run_options import RunOptions
from tests.harness import run_here

HEADER = "log_id,user_id,timestamp,video_id,device_type,ip_address,watch_time(min)\n"
GOOD = "a1,ann,t,v,tv,8.8.8.8,1.5\n"
NEGATIVE = "a2,ann,t,v,tv,8.8.8.8,-1"
SHORT = "a3,ann"
OTHER = "watch_time(min)\tip_address\tuser_id\tlog_id\n"
LATER = "x\t8.8.8.8\tdan\tb1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A published run over logs of two layouts, with rejected records and a line that is no record."""
    (tmp_path / "logs").mkdir()
    lines = HEADER + GOOD + f"{NEGATIVE}\n" * 2 + HEADER + f"{SHORT}\n"
    (tmp_path / "logs" / "a.csv").write_text(lines)
    (tmp_path / "logs" / "b.csv").write_text(f"{OTHER}{LATER}\n")
    run_here(tmp_path, ALLOW_EMPTY_RESULT="true")
    return tmp_path


def config(folder: Path) -> Config:
    return Config(OUTPUT_DIR=str(folder / "pipeline_data/output"))


def test_each_record_stands_once_under_the_header_of_its_file(folder: Path) -> None:
    path = folder / "mend.csv"
    exported = export_rejected(config(folder), path)
    assert path.read_text() == f"{HEADER}{NEGATIVE}\n{SHORT}\n{OTHER}{LATER}\n"
    assert (exported.records, exported.headers, exported.without_text) == (3, 2, 0)
    assert exported.version == (folder / "pipeline_data/output").resolve().parent.name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(ConfigError, match=r"mend\.csv' is there already"):
        export_rejected(config(folder), path)


def test_what_was_corrected_is_replayed_and_the_run_says_what_became_of_it(folder: Path) -> None:
    path = folder / "mend.csv"
    export_rejected(config(folder), path)
    text = path.read_text().replace(",-1", ",4").replace("x\t", "2.5\t")
    path.write_text(text)
    replayed = run_here(folder, options=RunOptions(replay=(str(path),)), ALLOW_EMPTY_RESULT="true")
    assert replayed.kept == 3
    assert [export_rejected(config(folder), folder / "again.csv").replayed] == [1]
    said = [note for note in replayed.notes if "replayed:" in note]
    assert said == [
        "replayed: 3 records: 2 counted, 0 duplicates of what counts, 0 in conflict with it, 1 rejected again "
        "(wrong_field_count 1)"
    ]
    path.write_text(HEADER + GOOD)
    again = run_here(folder, options=RunOptions(replay=(str(path),)), ALLOW_EMPTY_RESULT="true")
    assert any(note.startswith("warning: none of the replayed records counts") for note in again.notes)
    assert "replayed: 1 record: 0 counted, 1 duplicate of what counts, 0 in conflict with it, 0 rejected again" in (
        again.notes
    )


def test_names_and_records_with_delimiters_are_quoted_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    header = 'log_id;user_id;"a;b";ip_address;watch_time(min)\n'
    record = 'a1;ann;"x;y";8.8.8.8;minus'
    (tmp_path / "logs" / "a.csv").write_text(f"{header}{record}\n")
    run_here(tmp_path, ALLOW_EMPTY_RESULT="true")
    export_rejected(config(tmp_path), tmp_path / "mend.csv")
    names, values = csv.reader(io.StringIO((tmp_path / "mend.csv").read_text()), delimiter=";")
    assert names == ["log_id", "user_id", "a;b", "ip_address", "watch_time(min)"]
    assert values[2:] == ["x;y", "8.8.8.8", "minus"]


def test_nothing_is_written_where_nothing_can_be_corrected(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.csv").write_text(HEADER + GOOD)
    run_here(tmp_path)
    with pytest.raises(InputError, match="has no rejected records that could be corrected"):
        export_rejected(config(tmp_path), tmp_path / "mend.csv")
    (tmp_path / "logs" / "b.csv").write_text(f"{HEADER}{SHORT}\n")
    run_here(tmp_path, QUARANTINE_RAW="false")
    with pytest.raises(InputError, match=r"of 1 the bytes are not kept \(QUARANTINE_RAW\)"):
        export_rejected(config(tmp_path), tmp_path / "mend.csv")
    assert not (tmp_path / "mend.csv").exists()


def test_the_command_says_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = parse_arguments(["quarantine", "--output", "m e.csv", "--published", "pipeline_data/output"])
    assert arguments.settings == {"OUTPUT_DIR": "pipeline_data/output"}
    with chdir(folder):
        assert quarantine_command(arguments, Config(**arguments.settings), Answer(as_json=False)) == 0
        out = capsys.readouterr().out
        assert "has 3 rejected records" in out
        assert out.splitlines()[-1].endswith(" replay 'm e.csv' --input logs")
        (folder / "m e.csv").unlink()
        quarantine_command(arguments, Config(**arguments.settings), Answer(as_json=True))
        told = json.loads(capsys.readouterr().out)
    assert (told["file"], told["records"], told["headers"]) == ("m e.csv", 3, 2)
    assert parse_arguments(["quarantine"]).mend_file == "mend.csv"


def test_a_place_where_nothing_can_be_written_is_named(folder: Path) -> None:
    for path, why in ((folder / "no" / "mend.csv", "No such file"), (folder / ("long" * 80), "File name too long")):
        with pytest.raises(ConfigError, match=f"--output: cannot write .*{why}"):
            export_rejected(config(folder), path)


def test_the_printed_replay_names_input_and_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(folder / "pipeline_data/output")
    arguments = parse_arguments(["quarantine", "--output", str(folder / "mend.csv"), "--published", output])
    origins = {"OUTPUT_DIR": "command line, --published"}
    assert quarantine_command(arguments, Config(OUTPUT_DIR=output, origins=origins), Answer(as_json=False)) == 0
    printed = capsys.readouterr().out.splitlines()[-1]
    record = json.loads((folder / "pipeline_data/output").resolve().parent.joinpath("run.json").read_text())
    assert printed.endswith(f" --input {record['settings']['INPUT_DIR']} --output {output}")
