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


FIRST_VIEW = (CURRENT, REGIONS, users(None), RUNS, QUALITY, REJECTED)
