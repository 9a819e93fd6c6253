"""What rotation puts into the names of logs. The settings import this module: it imports nothing."""

USUAL_ROTATED = (
    r"(?:\.|-)(?:[0-9]{1,4}|[0-9]{8}(?:[-_T]?[0-9]{2,6})?|[0-9]{10}|old|bak|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[-_T][0-9]{2}[-:]?[0-9]{0,2}[-:]?[0-9]{0,2})?)"
)
"""``events.csv.1``, ``events.csv-20261129.gz``, ``events.csv.2026-11-29_10``, ``events.csv.old``: what logrotate,
Python's handlers and people make."""
