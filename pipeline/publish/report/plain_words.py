"""What names in the record mean, one plain line each, for readers of the report and the dashboard."""

REASONS = {
    "wrong_field_count": "the line has more or fewer fields than the header has names",
    "bad_quote": "text follows a closing quote",
    "unclosed_quote": "a quoted field never closes",
    "record_too_long": "the line is longer than MAX_RECORD_BYTES",
    "nul_byte": "the line contains a NUL byte",
    "invalid_utf8": "the line is not UTF-8 text",
    "blank_log_id": "the id of the event is empty",
    "blank_user_id": "the id of the user is empty",
    "watch_time_missing": "the watch time is empty",
    "watch_time_not_a_number": "the watch time is not a number",
    "watch_time_wrong_format": "the watch time is not written as WATCH_TIME_FORMAT says",
    "watch_time_negative": "the watch time is below 0",
    "watch_time_too_large": "the watch time is above 10^9 minutes",
    "repeated_header": "the line is a header among the records",
    "unusable_header": "the line is a header that lacks columns, or follows one",
    "before_header": "the record stands before the header",
    "directive": "the line is a directive of a W3C extended log",
}
"""Reasons of rejected records."""

OUTCOMES = {
    "kept": "events that count",
    "duplicates": "further copies of an event, with the same content",
    "conflicts": "copies of an event with other content that did not count",
    "rejected": "records that could not be used",
}
"""What becomes of a record."""

STAGES = {
    "expand": "compressed files are expanded",
    "set up": "each process loads the geo table and the compiled parser",
    "read": "bytes come from disk",
    "checksum": "the content of each file is hashed, to know the file again",
    "verify": "an independent scanner counts records and checks the parser",
    "parse": "bytes become fields",
    "hash": "ids become 128-bit numbers",
    "geo": "addresses become regions",
    "parse, hash, geo": "bytes become fields, ids become numbers, addresses become regions",
    "dedupe": "copies of an event are found and one is chosen",
    "index": "ids are sorted, to find copies in other places",
    "scatter": "rows are put into buckets, by user",
    "write": "files between the phases are written",
    "merge": "ids of all places are compared",
    "load": "phase 2 reads what phase 1 wrote",
    "group": "minutes are added up by user and region",
    "spark sql": "Spark's own plan deduplicates and adds up",
    "publish": "the result is written",
    "report": "this page is written",
    "other": "everything else",
}
"""Stages of a run, as ``pipeline.timing.STAGES`` names them."""


def meaning_of_reason(reason: str) -> str:
    """What is wrong with a record that was rejected for ``reason``; empty for a reason of an unknown kind."""
    if reason.startswith("rule:"):
        return "the record breaks this rule of RECORD_RULES"
    return REASONS.get(reason, "")
