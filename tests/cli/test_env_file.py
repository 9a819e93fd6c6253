"""Which settings the file ``.env`` gives, and what is told where it is wrong."""

from pathlib import Path

import pytest

from cli.env_file import BEGINNINGS, read_env_file
from pipeline.errors import ConfigError

ROOT = Path(__file__).parents[2]


def read(path: Path, text: str, **environ: str) -> dict[str, str]:
    path.write_text(text, encoding="utf-8")
    read_env_file(environ, str(path))
    return environ


def test_names_of_databases_and_storages_are_read_and_no_others(tmp_path: Path) -> None:
    text = "# ours\nPGHOST=db\nexport MYSQL_USER='r o'\n\nAWS_REGION=eu # near\nPATH=/evil\nLOGMILL_ENGINE=x\nPGPORT=\n"
    assert read(tmp_path / ".env", text) == {"PGHOST": "db", "MYSQL_USER": "r o", "AWS_REGION": "eu"}


def test_the_environment_wins(tmp_path: Path) -> None:
    assert read(tmp_path / ".env", "PGHOST=file\nPGUSER=file", PGHOST="environment") == {
        "PGHOST": "environment",
        "PGUSER": "file",
    }


def test_a_password_may_have_any_character(tmp_path: Path) -> None:
    assert read(tmp_path / ".env", "PGPASSWORD='a$b${HOME} # \"c=\\d'")["PGPASSWORD"] == 'a$b${HOME} # "c=\\d'


@pytest.mark.parametrize("line", ["PGPASSWORD=\"se'cret", "PGPASSWORD secret", "PGPASSWORD"])
def test_a_line_that_is_no_setting_is_named_by_its_number_alone(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"line 2 of .*\.env is no setting: expected NAME=value\.$") as fault:
        read(tmp_path / ".env", f"PGHOST=db\n{line}\n")
    assert "secret" not in str(fault.value)


def test_where_there_is_no_file_nothing_is_read(tmp_path: Path) -> None:
    environ: dict[str, str] = {}
    read_env_file(environ, str(tmp_path / ".env"))
    assert not environ


def test_the_example_can_be_copied_as_it_is(tmp_path: Path) -> None:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert not read(tmp_path / ".env", text)
    found = read(tmp_path / ".env", text.replace("# AWS", "AWS").replace("# PG", "PG").replace("=\n", "=x\n"))
    assert {name.partition("_")[0] for name in found} >= {"PGHOST", "PGPASSWORD", "AWS"}
    assert all(name.startswith(BEGINNINGS) for name in found)
