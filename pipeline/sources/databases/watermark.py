"""How far a table was read: from which time on the next run reads its rows."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from pipeline.sources.columns import Column, Time
from pipeline.sources.databases.catalog import Snapshot, Table, TableColumn

_CLOCK_CHANGE = timedelta(hours=2)
"""How far clocks of a place go back at most."""


def read_watermark(snapshot: Snapshot, table: Table, there: TableColumn, wanted: Column) -> str:
    """The latest time in a table up to which all transactions have ended, as the column has it; empty: there is none.

    A transaction that is open in the snapshot began later, so that rows that it writes have later times.
    """
    limit = snapshot.settled
    if (zone := _zone(snapshot, there, wanted)) != "UTC":
        limit = limit.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    found = snapshot.latest(table, there, limit.isoformat(" "))
    return "" if found is None or _moment(found) is None else found


def begin_reading(
    snapshot: Snapshot, there: TableColumn, wanted: Column, watermark: str, overlap: timedelta
) -> str | None:
    """The time in a column from which on rows may be new; None: all may be. ``watermark``: of the last run."""
    moment = _moment(watermark)
    if moment is None:
        return None
    more = _CLOCK_CHANGE if _zone(snapshot, there, wanted) != "UTC" else timedelta()
    try:
        return (moment - overlap - more).isoformat(" ")
    except OverflowError:
        return None


def _zone(snapshot: Snapshot, there: TableColumn, wanted: Column) -> str:
    return wanted.zone if isinstance(wanted, Time) and not snapshot.has_zone(there) else "UTC"


def _moment(text: str) -> datetime | None:
    """A time as the database writes it, without the zone, which is UTC; None: Python has no such year."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        return None
