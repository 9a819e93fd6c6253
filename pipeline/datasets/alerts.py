"""Alerts of a run: what its checks and scores found that a person should see, as files and for a webhook.

Nothing of this fails a run or keeps it for long: what cannot be sent becomes a note.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.datasets.result import Alert, JobResult
from pipeline.datasets.tasks import Setting
from pipeline.errors import ConfigError
from pipeline.machine import writing

REJECTED_SHARE = "max_rejected_share"
ALERT_SETTINGS: Mapping[str, Setting] = {
    "alert_url": "", "alert_exit_code": 0, "least_score": 0.0, REJECTED_SHARE: 0.05,
}  # fmt: skip
"""Settings that every job has: where alerts are sent (empty: nowhere), the exit code of a run that publishes with
alerts, the score below which there is one, and the share of a source's rows that may be rejected without one."""
TRIES = 3
TRY_SECONDS = 3.0
MOST_SECONDS = 10.0
"""A run waits no longer than this for its alert to be sent."""


def check_alert_settings(settings: Mapping[str, Setting]) -> None:
    """Raise ConfigError where an alert could not be given as the settings ask."""
    url = urlsplit(str(settings["alert_url"]))
    if settings["alert_url"] and (url.scheme not in ("http", "https") or not url.hostname):
        raise ConfigError("the setting alert_url is no address: expected one that begins with https:// or http://")
    for name, most in (("alert_exit_code", 255), ("least_score", 100), (REJECTED_SHARE, 1)):
        value = settings[name]
        if not isinstance(value, int | float) or not 0 <= value <= most:
            raise ConfigError(f"the setting {name} is {value!r}, expected a number from 0 to {most}")


def find_alerts(
    result: JobResult, scores: Mapping[str, float], unusual: Sequence[str], least_score: float
) -> list[Alert]:
    """What a person should see of a run: checks that warn or stop it, and scores that are too low."""
    found = [
        Alert(check.table, check.check, check.outcome, str(check))
        for check in result.checks
        if check.outcome in ("warn", "fail")
    ]
    score = scores.get("score", 100.0)
    if score < least_score:
        found.append(Alert("", "score", "warn", f"the quality score is {score:.2f}, expected at least {least_score:g}"))
    return [*found, *(Alert("", "history", "warn", sentence) for sentence in unusual)]


def write_quality(
    output: Path, result: JobResult, scores: Mapping[str, float], alerts: Sequence[Alert]
) -> tuple[Path, Path]:
    """Write what the last run found beside the output, for people and programs: (Markdown, JSON)."""
    page, facts = (output.with_name(f"{output.name}.quality.{ending}") for ending in ("md", "json"))
    for path, text in ((page, render_quality(result, scores, alerts)),
                       (facts, json.dumps(payload(result, scores, alerts), indent=1))):  # fmt: skip
        with writing(path):
            path.write_text(text, encoding="utf-8")
    return page, facts


def payload(result: JobResult, scores: Mapping[str, float], alerts: Sequence[Alert]) -> dict[str, Any]:
    """The quality of a run as values of JSON: what is written to a file, and sent."""
    return {
        "job": result.job, "run_id": result.run_id, "as_of": result.as_of, "status": result.status,
        "quality": dict(scores), "alerts": [asdict(alert) for alert in alerts],
        "checks": [asdict(check) for check in result.checks],
        "dropped": {name: one.dropped for name, one in result.tables.items() if one.dropped},
        "filled": {name: dict(one.filled) for name, one in result.tables.items() if one.filled},
        "rejected": {name: one.rejected for name, one in result.tables.items() if one.rejected},
    }  # fmt: skip


def render_quality(result: JobResult, scores: Mapping[str, float], alerts: Sequence[Alert]) -> str:
    """The quality of a run as Markdown."""
    lines = [f"# Quality of {result.job}, run {result.run_id}", "", f"As of {result.as_of}: {result.status}.", ""]
    lines += [f"- **{alert.level}**: {alert.message}" for alert in alerts] or ["No alerts."]
    lines += ["", "| dimension | of 100 |", "|---|---:|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in scores.items()]
    lines += ["", "| table | check | outcome | broken | of | share | allowed |", "|---|---|---|---:|---:|---:|---:|"]
    lines += [
        f"| {one.table} | {one.check} | {one.outcome} | {one.broken:,} | {one.of:,} | {one.share:.2%} | "
        f"{'' if one.allowed is None else format(one.allowed, '.2%')} |"
        for one in result.checks
    ]
    return "\n".join([*lines, ""])


def send(url: str, secret: str, facts: Mapping[str, Any]) -> str:
    """Send ``facts`` to a webhook, signed where there is a secret. Returns why that was not possible; empty: it was.

    ``X-Logmill-Signature`` is ``sha256=`` and the HMAC-SHA256 of ``X-Logmill-Timestamp``, a point, and the body. A try
    that fails is repeated, unless the answer says that the request itself is wrong. Takes ``MOST_SECONDS`` at most.
    """
    failures = ["there was no answer in time"]
    done = threading.Event()

    def work() -> None:
        for number in range(TRIES):
            failure, again = _try(url, secret, facts)
            failures.append(failure)
            if not failure or not again or done.wait(0.5 * 2**number):
                break
        done.set()

    threading.Thread(target=work, name="alert", daemon=True).start()
    done.wait(MOST_SECONDS)
    return f"the alert was not sent to {urlsplit(url).hostname}: {failures[-1]}" if failures[-1] else ""


def _try(url: str, secret: str, facts: Mapping[str, Any]) -> tuple[str, bool]:
    """(why it failed, or nothing; whether another try may succeed)."""
    from urllib.error import HTTPError  # here, because most runs send nothing, and these load long
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class NoRedirect(HTTPRedirectHandler):
        """What is signed for one address goes to no other."""

        def redirect_request(self, *_: Any) -> None:
            """Follow none."""

    body = json.dumps(facts).encode()
    request = Request(url, body, {"Content-Type": "application/json", **_signature(secret, body)})
    try:
        with build_opener(NoRedirect).open(request, timeout=TRY_SECONDS):
            return "", False
    except HTTPError as answer:
        return f"the answer was {answer.code}", answer.code >= 500 or answer.code in (408, 429)
    except Exception as fault:
        return type(fault).__name__, True


def _signature(secret: str, body: bytes) -> dict[str, str]:
    if not secret:
        return {}
    moment = str(int(time.time()))
    mark = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Logmill-Timestamp": moment, "X-Logmill-Signature": f"sha256={mark}"}
