"""Names of regions: those that every reader of a hive data set takes for text, and others."""

OF_ANOTHER_TYPE = [
    # numbers to Polars, PyArrow, DuckDB or Spark
    "1e5", "1E5", "1e+5", ".5e3", "5.e1f", "1e400", "007", "7", "-1", "+1", "1.5", ".5", "5.", "1d", "1f", "1D", "5F",
    "1e5d", "-1d", "0x10", "0X1F", "0x1p3", "0x1.8p1d", "0b11", "9223372036854775808", "\u0661e5", "\uff11e5",
    "\u0661\u0662\u0663", "1_000", "12L",
    # truth values, nulls, what is no number
    "true", "TRUE", "false", "null", "NULL", "None", "NaN", "nan", "-NaN", "inf", "Inf", "-inf", "+inf", "Infinity",
    "-Infinity", "INFINITY", "epoch", "__HIVE_DEFAULT_PARTITION__", "__hive_default_partition__",
    # dates and times
    "2026-01-01", "2026-1-1", "+2026-01-01", "-2026-01-01", "2026-01-01 (BC)", "294247-01-10", "2026/11/29",
    "29/11/2026", "29.11.2026", "20260101", "2026-01-01T00:00:00", "2026-01-01T00:00:00Z", "2026-01-01 00:00:00",
    "2026-01-01 00:00:00+01:00", "2026-01-01 00:00:00 Europe/Berlin", "12:00", "12:00:00", "12:00:00.5", "T12:00",
    "2026-W48-7",
]  # fmt: skip

TEXTS = [
    "North America", "\u00c9lan", "\u65e5\u672c", "a, M/R", "EMEA (new)", "NA", "NO", "no", "y", "n", "t", "f", "on",
    "off", "e5", "E5", "d1", "1a", "3G", "1e5x", "1st District", "7 dwarfs", "Zone 1", "P1D", "1 d", "1 e5", "1-a",
    "+a", "-a", "nil", "undefined", "N/A", "now", "today", "Jan 1 2026", "a/b", "a=b", "geo_region=x", "a%b", "a%41",
    "%41x", "a%2Fb", "a.b", "a.", ".a", "..a", "a*b", "a?b", "[a]", "{a}", "a\\b", "a:b", "a|b", "a<b>", "a;b", "#a",
    "a&b", "a@b", "$a", "~a", "_a", "a'b", 'a"b', "a  b", "a^b", "a`b", "a!b", "a\u00b7b", "x" * 64,
]  # fmt: skip
