"""What the settings files of Spark say, which belong to whoever runs a cluster."""

import os
import re
from pathlib import Path

DEFAULTS = "spark-defaults.conf"
_SETTING = re.compile(r"\s*([^#!\s=:][^\s=:]*)(?:\s*[=:]\s*|\s+|$)(.*)")
"""A line of it: name and value, with =, : or blanks between them."""

_OF_LAUNCHER = ("spark.driver.extraClassPath", "spark.driver.extraLibraryPath", "spark.driver.defaultJavaOptions")
_VARIABLES_OF_LAUNCHER = (
    *("HADOOP_CONF_DIR", "YARN_CONF_DIR", "SPARK_DIST_CLASSPATH"),
    *("SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS", "SPARK_PREPEND_CLASSES"),
)
"""Settings and variables that only Spark's own launcher of driver JVMs obeys."""


def conf_folder(spark_home: str) -> Path:
    """The folder of Spark's settings files."""
    return Path(os.environ.get("SPARK_CONF_DIR") or Path(spark_home) / "conf")


def spark_defaults(conf: Path) -> dict[str, str]:
    """The settings of ``spark-defaults.conf`` in the folder ``conf``, by name; none where it cannot be read."""
    try:
        text = (conf / DEFAULTS).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    text = re.sub(r"^[ \t\f]*[#!].*$", "", text, flags=re.MULTILINE)
    lines = re.sub(r"\\\r?\n[ \t\f]*", "", text).splitlines()  # one that ends with a backslash goes on
    return {found[1]: found[2].strip() for line in lines if (found := _SETTING.match(line))}


def needs_launcher(conf: Path) -> bool:
    """Whether only Spark's own launcher starts a driver JVM as the settings in ``conf`` and the environment ask for.

    Any file but ``spark-defaults.conf`` may do so: a script with variables, or what Java finds on its class path.
    """
    if any(os.environ.get(name) for name in _VARIABLES_OF_LAUNCHER):
        return True
    try:
        files = [name for name in os.listdir(conf) if name != DEFAULTS and not name.endswith(".template")]
    except FileNotFoundError:
        files = []
    except OSError:  # no folder, or one that may not be listed: Spark's launcher says what it makes of it
        return True
    return bool(files) or not spark_defaults(conf).keys().isdisjoint(_OF_LAUNCHER)
