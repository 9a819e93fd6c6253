"""``config.py``, imported late: the help of the program needs no settings, and a slip in that file is a sentence."""

import os
from types import ModuleType

from pipeline.errors import ROOT, ConfigError, explain_edit


def import_settings() -> ModuleType:
    """The module ``config``. Raises ConfigError where its file was edited to something that is not understood."""
    try:
        import config
    except Exception as fault:
        if (told := explain_edit(fault, os.path.join(ROOT, "config.py"))) is None:
            raise
        raise ConfigError(told) from fault
    return config
