"""The dashboard: the published result, its regions, users, files, runs and quality, and a box for SQL.

Streamlit runs this file anew for each interaction. It shows what ``pipeline.inspection.query`` answers and
computes nothing.
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote

import pyarrow as pa
import streamlit as st
from streamlit.runtime import get_instance

from cli.web import questions
from cli.web.answers import answer, read_config
from cli.web.tables import moment_of, plain, show_fault, show_table
from config import Config
from pipeline.errors import InputError, LogmillError
from pipeline.inspection.query import Found, ask
from pipeline.inspection.views import COLUMNS
from pipeline.publish.report.plain_words import OUTCOMES, meaning_of_reason
from pipeline.versions.catalog import Version, current_version
from pipeline.versions.folders import REPORT
from utils.units import format_ago, format_moment, format_moment_shortly

EVERYWHERE = "all regions"
_LOOKS_AGAIN_SECONDS = 10
_CHART_REGIONS = 20
_REFUSED_IN_WORDS = 10
_METRICS = {
    "minutes": ("Minutes watched", "of all events that are kept"),
    "users": ("Users", "with at least one event that is kept"),
    "kept": ("Events kept", OUTCOMES["kept"]),
    "records_read": ("Records read", "lines of the logs, counted by a separate scan"),
    "rejected": ("Rejected records", OUTCOMES["rejected"]),
}
_VIEWS = {
    "watch_time": "minutes and events of each user in each region: the result",
    "user_totals": "minutes and events of each user in all regions",
    "runs": "the runs whose versions are kept",
    "quarantine": "rejected records, conflicts and refused files, with their reasons",
    "ledger": "the files that count, with their records",
}


def main(given: str) -> None:
    """Draw the page; ``given``: see ``read_config``."""
    st.set_page_config("Logmill", layout="wide")
    try:
        config = read_config(given)
        version = current_version(config.OUTPUT_DIR)
        show(config, version)
        st.caption(f"{version.record['geo_attribution']} ({version.record['geo_build']})")
    except LogmillError as fault:
        show_fault(fault)


def show(config: Config, version: Version) -> None:
    """All parts of the page, for the version that is published now."""
    show_totals(config, version)
    regions = answer(config, version.name, questions.REGIONS)
    users, files, runs, sql = st.tabs(["Watch time", "Files and rejected records", "Runs and quality", "SQL"])
    with users:
        show_watch_time(config, version.name, regions)
    with files:
        show_files(config, version.name)
    with runs:
        show_runs(config, version.name)
    with sql:
        show_sql(config)


def show_totals(config: Config, version: Version) -> None:
    """Which version this is, how old it is, its report, and its totals."""
    found = answer(config, version.name, questions.CURRENT)
    run = dict(zip(found.columns, found.rows[0], strict=True))
    st.header("Logmill")
    show_freshness(config, version)
    show_report(version)
    if run["status"] == "partial":
        st.warning("Some files of this run were refused: see Files and rejected records.")
    for column, (name, (title, meaning)) in zip(st.columns(len(_METRICS)), _METRICS.items(), strict=True):
        column.metric(title, f"{run[name]:,.0f}", help=meaning)


@st.fragment(run_every=_LOOKS_AGAIN_SECONDS)
def show_freshness(config: Config, version: Version) -> None:
    """When the version was made; where a newer one is there meanwhile, an offer to show it."""
    age = (datetime.now(UTC).replace(tzinfo=None) - version.started).total_seconds()
    st.text(f"Result of {format_moment(version.started)} ({format_ago(age)}), version {version.name}")
    try:
        newest = current_version(config.OUTPUT_DIR)
    except InputError as fault:
        show_fault(fault)
        return
    if newest.name != version.name:
        st.info(f"A newer result was published: that of {format_moment(newest.started)}.")
        if st.button("Show it"):
            st.rerun()


def show_report(version: Version) -> None:
    """A link to the report of the run."""
    try:
        page = (version.folder / REPORT).read_bytes()
    except OSError:  # a version of an early release, or one that was just removed
        return
    path = get_instance().media_file_mgr.add(page, "text/html", REPORT)
    st.link_button("Report of this run", f"/{quote(st.get_option('server.baseUrlPath'))}{path}")


def show_watch_time(config: Config, version: str, regions: Found) -> None:
    """Watch time by region, then the users."""
    first, second = st.columns(2)
    with first:
        st.subheader("Minutes watched by region")
        most = regions.rows[:_CHART_REGIONS]
        minutes = pa.table({"Region": [row[0] for row in most], "Minutes": [row[3] for row in most]})
        st.bar_chart(minutes, x="Region", y="Minutes", horizontal=True, sort=False, x_label="", y_label="Minutes")
    with second:
        st.subheader("Regions in numbers")
        show_table(regions, "regions")
    show_users(config, version, [str(row[0]) for row in regions.rows])


@st.fragment
def show_users(config: Config, version: str, regions: Sequence[str]) -> None:
    """The top users and the distribution of watch time, of all regions or one."""
    names = [EVERYWHERE, *regions]
    chosen = st.selectbox("Users of", range(len(names)), format_func=names.__getitem__)
    found = answer(config, version, questions.users(names[chosen] if chosen else None))
    first, second = st.columns(2)
    with first:
        st.subheader("Top users")
        show_table(part_of(found, "top", ("user_id", "minutes", "events")), "top-users")
    with second:
        st.subheader("Users by watch time")
        classes = part_of(found, "class", ("below", "users"))
        labels = [f"under {below:,}" for below, _ in classes.rows]
        chart = pa.table({"Minutes": labels, "Users": [users for _, users in classes.rows]})
        st.bar_chart(chart, x="Minutes", y="Users", sort=False, x_label="Minutes watched", y_label="Users")


def part_of(found: Found, kind: str, columns: Sequence[str]) -> Found:
    """The rows of one kind, with the columns of this kind."""
    numbers = [found.columns.index(name) for name in columns]
    rows = tuple(tuple(row[number] for number in numbers) for row in found.rows if row[0] == kind)
    return Found(tuple(columns), tuple(found.nested[number] for number in numbers), rows, cut=False)


def show_files(config: Config, version: str) -> None:
    """Files that were refused, records that were rejected and why, and all files that count."""
    try:
        refused = answer(config, version, questions.REFUSED)
        if refused.rows:
            st.subheader("Refused files")
            for file, reason in refused.rows[:_REFUSED_IN_WORDS]:
                st.error(plain(f"{file}: {reason}"))
            if len(refused.rows) > _REFUSED_IN_WORDS:
                show_table(refused, "refused")
        st.subheader("Rejected records and conflicts")
        show_table(with_meanings(answer(config, version, questions.REJECTED)), "rejected")
        rejected = answer(config, version, questions.REJECTED_RECORDS)
        if rejected.rows:
            st.subheader(f"The first {len(rejected.rows):,} rejected records")
            show_table(rejected, "rejected-records")
    except LogmillError as fault:  # the quarantine is its owner's
        show_fault(fault)
    st.subheader("Files, most rejected records first")
    show_table(answer(config, version, questions.FILES), "files")


def with_meanings(found: Found) -> Found:
    """Reasons with what they mean."""
    meanings = {"conflict": OUTCOMES["conflicts"]}
    rows = tuple((*row, meanings.get(str(row[0])) or meaning_of_reason(str(row[0]))) for row in found.rows)
    return Found((*found.columns, "meaning"), (*found.nested, False), rows, found.cut)


def show_runs(config: Config, version: str) -> None:
    """The kept runs, how fast they were, and what they rejected. One run makes no trend, and is only a row."""
    runs = answer(config, version, questions.RUNS)
    if len(runs.rows) > 1:
        names = labels_of([str(row[runs.columns.index("started")]) for row in runs.rows])
        speeds = [row[runs.columns.index("mb_per_second")] for row in runs.rows]
        quality = answer(config, version, questions.QUALITY)
        shares = {title: [row[number] for row in quality.rows] for number, title in ((1, "Rejected"), (2, "Conflicts"))}
        read = labels_of([str(row[0]) for row in quality.rows])
        first, second = st.columns(2)
        with first:
            st.subheader("Speed")
            chart = pa.table({"Run": names, "MB/s": speeds})
            st.bar_chart(chart, x="Run", y="MB/s", sort=False, x_label="", y_label="MB/s")
        with second:
            st.subheader("Rejected records and conflicts")
            chart = pa.table({"Run": read, **shares})
            st.bar_chart(chart, x="Run", sort=False, stack=False, x_label="", y_label="% of the records read")
    st.subheader("Runs")
    if len(runs.rows) == 1:
        st.caption("One run is kept so far. From the second on, charts show how speed and quality change.")
    show_table(replace(runs, rows=runs.rows[::-1]), "runs")  # the newest first


def labels_of(moments: Sequence[str]) -> list[str]:
    """Names of runs on an axis, such as 7 Nov 09:03; with seconds where two runs began in one minute."""
    times = [moment_of(moment) for moment in moments]
    short = [format_moment_shortly(time) for time in times]
    if len(set(short)) == len(short):
        return short
    return [f"{name}:{time.second:02}" for name, time in zip(short, times, strict=True)]


@st.fragment
def show_sql(config: Config) -> None:
    """A query within the limits of ``query``, and its export; beside it, examples and the columns there are."""
    left, right = st.columns([2, 1])
    with right:
        st.selectbox(
            "Examples", list(questions.EXAMPLES), index=None, placeholder="Choose one", key="example", on_change=take
        )
        for view, meaning in _VIEWS.items():
            with st.expander(view):
                st.caption(meaning)
                st.text("\n".join(f"{name}  {kind.lower()}" for name, kind in COLUMNS[view].items()))
    st.session_state.setdefault("sql", next(iter(questions.EXAMPLES.values())))
    with left:
        with st.form("sql-form", border=False):
            sql = st.text_area("One query in SQL", key="sql", height=140)
            asked = st.form_submit_button("Ask")
        if asked:
            ask_and_remember(config, sql)
        if "fault" in st.session_state:
            st.error(plain(st.session_state.fault))
        if "found" in st.session_state:
            show_table(st.session_state.found, "query", asked_by_user=True)


def take() -> None:
    """Put the chosen example into the box."""
    if st.session_state.example:
        st.session_state.sql = questions.EXAMPLES[st.session_state.example]


def ask_and_remember(config: Config, sql: str) -> None:
    """Keep what is found, or the error, until the next question."""
    st.session_state.pop("found", None)
    st.session_state.pop("fault", None)
    try:
        st.session_state.found = ask(config, sql)
    except LogmillError as fault:
        st.session_state.fault = str(fault)


if __name__ == "__main__":
    main(sys.argv[1])
