"""Settings of a job come from its code, the settings file by environment, and the command line; the last one wins."""

import json
from pathlib import Path

import pytest

from config import read_sections
from main import main
from pipeline.datasets.job import load_job
from pipeline.datasets.settings import read_settings
from pipeline.errors import ConfigError
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, write_job, write_sales

SETTINGS = """
MEMORY_LIMIT = "1GB"

[job.mine]
share = 0.5

[environment.production]
MEMORY_LIMIT = "2GB"

[environment.production.job.mine]
share = 0.0
source = "here"
"""


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a job that has settings, a settings file, and sales of which one of two breaks a check."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "logmill.toml").write_text(SETTINGS)
    text = HEAD + LINES.replace('at_least("cents", 0)', 'at_least("cents", 0, allowed="share")')
    write_job(tmp_path / "mine", text, share=0.1, days=30, exact=True)
    write_sales(tmp_path, [("o1", "ann", "2026-01-01", "1.00"), ("o2", "ann", "2026-01-01", "-1.00")])
    return tmp_path


def test_an_environment_wins_over_the_rest_of_the_file(in_folder: Path) -> None:
    section, jobs = read_sections(in_folder / "logmill.toml", "production")
    assert section == {"MEMORY_LIMIT": "2GB"}
    assert jobs["mine"] == {"share": 0.0, "source": "here"}
    assert read_sections(in_folder / "logmill.toml", None)[1]["mine"] == {"share": 0.5}
    with pytest.raises(ConfigError, match=r"there is no \[environment.prod\] in .*There is: production"):
        read_sections(in_folder / "logmill.toml", "prod")


@pytest.mark.parametrize(
    ("words", "code"),
    [((), 0), (("--environment", "production"), 4), (("--environment", "production", "--set", "share=0.6"), 0)],
)
def test_a_share_that_may_break_a_check_is_a_setting(
    words: tuple[str, ...], code: int, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["job", "./mine", "--source", str(in_folder / "source"), "--json", "-q", *words]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == ("failed" if code else "ok")


@pytest.mark.parametrize(
    ("assigned", "message"),
    [("shares=1", "has no setting shares"), ("days=many", "days is 'many'"), ("days", "expected NAME=VALUE")],
)
def test_settings_that_are_wrong_are_named(assigned: str, message: str, in_folder: Path) -> None:
    job = load_job(str(in_folder / "mine"))
    assert read_settings(job, {}, ["days=3", "exact=no", "share=1"]).values == {"days": 3, "exact": False, "share": 1.0}
    with pytest.raises(ConfigError, match=message):
        read_settings(job, {}, [assigned])


def test_names_of_tables_and_columns_are_settings(in_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = load_job(str(in_folder / "mine"))
    found = read_settings(job, {"names": {"sales": "a.b", "sales.day": "on"}}, ["names.sales.cents=c", "names.sales=d"])
    assert found.names == {"sales": "d", "sales.day": "on", "sales.cents": "c"}
    source = job.named(found.names).sources["sales"]
    assert (source.table, source.contract.columns["day"].names("day")) == ("d", ("on",))
    assert list(source.contract.columns) == list(job.sources["sales"].contract.columns)
    for names, message in (
        ({"sale": "x"}, "no source 'sale'. Did you mean sales?"),
        ({"sales.dy": "x"}, "sales has no"),
    ):
        with pytest.raises(ConfigError, match=message):
            job.named(names)
    with pytest.raises(ConfigError, match="names is 7, expected a table such as"):
        read_settings(job, {"names": 7}, [])
    (in_folder / "source" / "sales.csv").write_text("order_id,customer,on,amount\no1,ann,2026-01-01,1.00\n")
    asked = ["job", "./mine", "--source", "source", "--json", "-q", "--only", "lines"]
    assert main(asked) == 3
    assert "names.SOURCE.COLUMN" in capsys.readouterr().err
    assert main([*asked, "--set", "names.sales.day=on", "--set", "names.sales=old.sales"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["sources"]["sales"]["rows"] == 1
    assert made["notes"] == ["names.sales is the name of a table: files of --source are found as the job declares them"]
