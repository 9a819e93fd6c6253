"""Alerts of a job: what is told, in which files, to which webhook; nothing of it fails a run."""

import datetime as dt
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from main import main
from pipeline.datasets import alerts
from pipeline.datasets.job import JOBS, load_job
from pipeline.datasets.settings import read_settings
from pipeline.errors import ConfigError
from tests.pipeline.datasets.jobs_for_tests import HEAD, LINES, TOTALS, run, write_job, write_sales

SALES = [("o1", "ann", "2026-01-01", "1"), ("o2", "ann", "2026-01-01", "2"), ("o2", "ann", "2026-01-01", "2")]
CHECKED = LINES.replace(
    'at_least("cents", 0)', 'repeated("sales", allowed="few"), fresh("day", hours="oldest", action="warn")'
)


@contextmanager
def webhook(*answers: int) -> Iterator[tuple[str, list[tuple[dict[str, str], bytes]]]]:
    """A server that gives these answers in turn: its address, and what it got (headers, body)."""
    got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((dict(self.headers), body))
            self.send_response(answers[min(len(got), len(answers)) - 1])
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?token=hidden", got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_copies_and_age_are_told_in_files_and_signed_to_the_webhook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGMILL_ALERT_KEY", "key")
    job = write_job(tmp_path / "job", HEAD + CHECKED + TOTALS, few=0.3, oldest=24.0, least_score=99.0)
    write_sales(tmp_path, SALES)
    with webhook(503, 200) as (url, got):
        result = run(job, tmp_path, settings={"alert_url": url})
    assert (result.status, list(result.notes)) == ("ok", [])
    assert {(alert.table, alert.check) for alert in result.alerts} == {
        ("lines", "repeated:sales"), ("lines", "fresh:day"), ("", "score"),
    }  # fmt: skip
    copies = next(check for check in result.checks if check.check == "repeated:sales")
    assert (copies.broken, copies.of, copies.allowed) == (1, 3, 0.3)
    (_, first), (headers, body) = got
    assert first == body
    signed = f"{headers['X-Logmill-Timestamp']}.".encode() + body
    mark = hmac.new(b"key", signed, hashlib.sha256).hexdigest()
    assert headers["X-Logmill-Signature"] == f"sha256={mark}"
    facts = json.loads(Path(f"{result.output}.quality.json").read_text())
    assert facts == json.loads(body)
    assert [alert["check"] for alert in facts["alerts"]] == [alert.check for alert in result.alerts]
    page = Path(f"{result.output}.quality.md").read_text()
    assert "| lines | repeated:sales | warn | 1 | 3 | 33.33% | 30.00% |" in page
    assert "ann" not in page
    record = Path(result.output).resolve().with_name("run.json").read_text()
    assert "hidden" not in record


def test_age_is_judged_again_where_nothing_is_new(tmp_path: Path) -> None:
    job = write_job(tmp_path / "job", HEAD + CHECKED + TOTALS, few=1.0, oldest=24.0)
    write_sales(tmp_path, SALES)
    assert not run(job, tmp_path, as_of=dt.datetime(2026, 1, 2)).alerts
    later = run(job, tmp_path, as_of=dt.datetime(2026, 1, 4))
    assert (later.status, [alert.check for alert in later.alerts]) == ("nothing new", ["fresh:day"])
    assert "48.0 hours old" in later.alerts[0].message


def test_what_cannot_be_sent_is_a_note_without_the_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MOST_SECONDS", 0.2)
    job = write_job(tmp_path / "job", HEAD + CHECKED + TOTALS, few=0.0, oldest=24.0)
    write_sales(tmp_path, SALES)
    with webhook(404) as (url, got):
        result = run(job, tmp_path, settings={"alert_url": url})
        assert len(got) == 1  # the request is wrong, and stays so
    assert (result.status, list(result.notes)) == ("ok", ["the alert was not sent to 127.0.0.1: the answer was 404"])
    again = run(job, tmp_path, settings={"alert_url": "http://192.0.2.1/hidden"}, full_refresh=True)
    assert again.status == "ok"
    assert "not sent to 192.0.2.1" in again.notes[0]


def test_an_alert_ends_a_run_with_the_exit_code_of_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_job(tmp_path / "job", HEAD + CHECKED + TOTALS, few=0.0, oldest=1e9)
    write_sales(tmp_path, SALES)
    words = ["job", "./job", "--source", "source", "--json", "--quiet"]
    assert main([*words, "--set", "alert_exit_code=7"]) == 7
    assert json.loads(capsys.readouterr().out)["status"] == "ok"
    assert main(words) == 0


@pytest.mark.parametrize(("environment", "share"), [(None, 0.05), ("staging", 0.03), ("production", 0.02)])
def test_an_environment_has_its_own_defaults(environment: str | None, share: float) -> None:
    job = load_job(str(JOBS / "warehouse"))
    assert job.with_settings(read_settings(job, {}, [], environment).values)["max_null_share"] == share
    assert read_settings(job, {"max_null_share": 0.5}, [], environment).values["max_null_share"] == 0.5


@pytest.mark.parametrize(("name", "value"), [("alert_url", "file:///etc"), ("least_score", 101.0)])
def test_an_alert_that_makes_no_sense_is_refused(name: str, value: str | float) -> None:
    with pytest.raises(ConfigError, match=name):
        load_job(str(JOBS / "warehouse")).with_settings({name: value})
