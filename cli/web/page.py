"""The dashboard: the published result, its regions, users, runs and quality, and a box for SQL.

Streamlit runs this file anew for each interaction. It shows what ``pipeline.inspection.query`` answers and
computes nothing.
"""

import sys
from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from cli.answers import as_csv, as_json
from cli.web import questions
from cli.web.answers import answer, read_config
from config import Config
from pipeline.errors import LogmillError
from pipeline.inspection.query import Found, ask
from pipeline.versions.catalog import current_version

EVERYWHERE = "all regions"
EXAMPLE = """\
SELECT geo_region, count(*) AS users, sum(total_watch_time_min) AS minutes
FROM watch_time GROUP BY ALL ORDER BY minutes DESC"""


def main(given: str) -> None:
    """Draw the page; ``given``: see ``read_config``."""
    st.set_page_config("Logmill", layout="wide")
    try:
        config = read_config(given)
        version = current_version(config.OUTPUT_DIR)
        show(config, version.name)
        st.caption(f"{version.record['geo_attribution']} ({version.record['geo_build']})")
    except LogmillError as fault:
        st.text(f"error: {fault}")  # not as Markdown: a value in it could load a picture from another host


def show(config: Config, version: str) -> None:
    """All parts of the page, for the version that is published now."""
    show_totals(config, version)
    regions = answer(config, version, questions.REGIONS)
    users, sql, runs = st.tabs(["Watch time", "SQL", "Runs and quality"])
    with users:
        show_watch_time(config, version, regions)
    with sql:
        show_sql(config)
    with runs:
        show_runs(config, version)


def show_totals(config: Config, version: str) -> None:
    """The totals of the version."""
    found = answer(config, version, questions.CURRENT)
    run = dict(zip(found.columns, found.rows[0], strict=True))
    st.header("Logmill")
    st.text(f"Version {run['version']}, run {run['status']}, engine {run['engine']}")
    names = ("minutes", "users", "kept", "records_read", "rejected")
    for column, name in zip(st.columns(len(names)), names, strict=True):
        column.metric(name.replace("_", " "), f"{run[name]:,.0f}")


def show_watch_time(config: Config, version: str, regions: Found) -> None:
    """Watch time by region, then the users."""
    first, second = st.columns(2)
    with first:
        st.subheader("Regions")
        st.bar_chart(as_table(regions), x="region", y="minutes", horizontal=True, sort=False)
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
        labels = [f"< {below:,}" for below, _ in classes.rows]
        chart = pa.table({"minutes": labels, "users": [users for _, users in classes.rows]})
        st.bar_chart(chart, x="minutes", y="users", sort=False)


def part_of(found: Found, kind: str, columns: Sequence[str]) -> Found:
    """The rows of one kind, with the columns of this kind."""
    numbers = [found.columns.index(name) for name in columns]
    rows = tuple(tuple(row[number] for number in numbers) for row in found.rows if row[0] == kind)
    return Found(tuple(columns), tuple(found.nested[number] for number in numbers), rows, cut=False)


@st.fragment
def show_sql(config: Config) -> None:
    """A query within the limits of ``query``, and its export."""
    with st.form("sql", border=False):
        sql = st.text_area("One query over watch_time, user_totals, runs, quarantine and ledger", EXAMPLE, height=120)
        asked = st.form_submit_button("Ask")
    if asked:
        st.session_state.pop("found", None)
        try:
            st.session_state.found = ask(config, sql)
        except LogmillError as fault:
            st.text(f"error: {fault}")
    if "found" in st.session_state:
        show_table(st.session_state.found, "query")


def show_runs(config: Config, version: str) -> None:
    """The kept runs, how fast they were, and what they rejected."""
    runs = answer(config, version, questions.RUNS)
    first, second = st.columns(2)
    with first:
        st.subheader("Throughput, MB/s")
        st.bar_chart(as_table(runs), x="started", y="mb_per_second", sort=False)
    with second:
        st.subheader("Rejected and conflicts, %")
        st.line_chart(as_table(answer(config, version, questions.QUALITY)), x="started")
    st.subheader("Runs")
    show_table(runs, "runs")
    st.subheader("Rejected records and conflicts of this version")
    show_table(answer(config, version, questions.REJECTED), "rejected")


def show_table(found: Found, name: str) -> None:
    """Rows with their export as CSV and JSON."""
    table = as_table(found)
    numbers = [f.name for f in table.schema if pa.types.is_integer(f.type) or pa.types.is_floating(f.type)]
    localized = {number: st.column_config.NumberColumn(format="localized") for number in numbers}
    st.dataframe(table, hide_index=True, column_config=localized)
    if found.cut:
        st.text(f"Only the first {len(found.rows):,} rows are shown and exported: raise --limit-rows for more.")
    with st.container(horizontal=True):
        for kind, write, media in (("CSV", as_csv, "text/csv"), ("JSON", as_json, "application/json")):
            file = f"{name}.{kind.lower()}"
            st.download_button(kind, write(found), file, media, key=file, on_click="ignore")


def as_table(found: Found) -> pa.Table:
    """Columns as Arrow; numbers that are wider than 64 bits as text."""
    values = list(zip(*found.rows, strict=True)) or [()] * len(found.columns)
    names = [
        name if name not in found.columns[:number] else f"{name}_{number}" for number, name in enumerate(found.columns)
    ]
    return pa.Table.from_arrays([_as_array(column) for column in values], names)


def _as_array(values: Sequence[object]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, OverflowError):
        return pa.array([None if value is None else str(value) for value in values])


if __name__ == "__main__":
    main(sys.argv[1])
