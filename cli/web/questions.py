"""The queries of the dashboard: SQL over the views of ``query``, so that DuckDB does all the computing."""

TOP_USERS = 20
REGIONS = """
    select geo_region as region, count(*) as users, sum(event_count)::bigint as events,
        round(sum(total_watch_time_min), 6) as minutes
    from watch_time group by all order by minutes desc"""
RUNS = """
    select version, started, status, files, refused, records_read, kept, duplicates, conflicts, rejected, users,
        total_watch_time_min as minutes, seconds_total as seconds,
        throughput_bytes_per_second / 1e6 as mb_per_second, peak_memory_bytes / 1e6 as peak_mb, engine, geo_build
    from runs order by started, version"""
QUALITY = """
    select started, 100.0 * rejected / records_read as rejected, 100.0 * conflicts / records_read as conflicts
    from runs where records_read > 0 order by started, version"""
CURRENT = """
    select version, started, status, users, kept, records_read, total_watch_time_min as minutes, rejected, engine
    from runs where is_current"""
REJECTED = """
    select reason, count(*) as records from quarantine where line is not null
    group by all order by records desc, reason"""
"""Without the files that were refused whole, which have no line: they are no records, and the runs count them."""


REFUSED = "select file, reason from quarantine where line is null order by file"
FILES = """
    select file, bytes / 1e6 as mb, records, duplicates, rejected, (
        select string_agg(reason || ': ' || (rejected_by_reason->>reason), ', ' order by reason)
        from unnest(json_keys(rejected_by_reason)) as reasons(reason)) as reasons
    from ledger order by rejected desc, file limit 500"""
REJECTED_RECORDS = """
    select file, line, reason, "column", value from quarantine
    where line is not null and reason <> 'conflict' order by file, line limit 100"""

EXAMPLES = {
    "Minutes by region": """\
SELECT geo_region, count(*) AS users, sum(total_watch_time_min) AS minutes
FROM watch_time GROUP BY ALL ORDER BY minutes DESC""",
    "Top users of one region": """\
SELECT user_id, total_watch_time_min, event_count
FROM watch_time WHERE geo_region = 'Europe' ORDER BY total_watch_time_min DESC LIMIT 10""",
    "Users who watched in several regions": """\
SELECT user_id, regions, total_watch_time_min
FROM user_totals WHERE regions > 1 ORDER BY regions DESC, total_watch_time_min DESC LIMIT 10""",
    "Rejected records as they stand in the logs": """\
SELECT file, line, reason, raw
FROM quarantine WHERE line IS NOT NULL ORDER BY file, line LIMIT 20""",
    "Files with most rejected records": """\
SELECT file, records, rejected, 100.0 * rejected / records AS percent
FROM ledger WHERE records > 0 ORDER BY rejected DESC LIMIT 10""",
    "Runs that are kept": """\
SELECT version, started, files, kept, rejected, seconds_total
FROM runs ORDER BY started""",
}
"""Title → query, to choose from beside the box."""


def users(region: str | None) -> str:
    """The users with the most minutes, and how many users there are by watch time; of one region, or across all.

    One statement, because adding up millions of users is what takes the time. Rows of kind ``top`` have user_id,
    minutes and events; rows of kind ``class`` have users and ``below``, where the class ends, in minutes: each class is
    twice as wide as the one before.
    """
    columns = "user_id, total_watch_time_min as minutes, event_count as events"
    source = "user_totals" if region is None else f"watch_time where geo_region = {quoted(region)}"
    return f"""
        with totals as materialized (select {columns} from {source}),
        best as (from totals order by minutes desc, user_id limit {TOP_USERS}),
        classes as (
            select case when minutes < 1 then 1 else 2 ** (floor(log2(minutes)) + 1) end::bigint as below,
                count(*) as users
            from totals group by all)
        select 'top' as kind, user_id, minutes, events, null as below, null as users from best
        union all
        select 'class', null, null, null, below, users from classes
        order by kind, minutes desc, user_id, below"""


def quoted(text: str) -> str:
    """``text`` as a string of SQL."""
    return "'" + text.replace("'", "''") + "'"


FIRST_VIEW = (CURRENT, REGIONS, users(None), RUNS, QUALITY, REJECTED, REFUSED, FILES, REJECTED_RECORDS)
