"""Named places at which tests let the program die or the disk fill; without their variable each is one comparison.

    LOGMILLTEST_FAULT=<point>:<n>[:<errno name>]    at the n-th passing of the point, in any process of the run

Without an errno, main process and passing process get SIGKILL. The variable is read when this module is imported.
"""

import errno
import multiprocessing
import os
import signal

VARIABLE = "LOGMILLTEST_FAULT"
_MAIN = "LOGMILLTEST_MAIN"


_name, _, _rest = os.environ.get(VARIABLE, "").partition(":")


_number, _, _errno = _rest.partition(":")


_passed = 0


if _name:
    _parent = multiprocessing.parent_process()  # of a worker; those of Spark inherit the variable
    os.environ.setdefault(_MAIN, str(_parent.pid if _parent else os.getpid()))


def point(name: str) -> None:
    """Pass the place ``name``."""
    if _name and name == _name:
        _strike()


def _strike() -> None:
    global _passed
    _passed += 1
    if _passed != int(_number or 1):
        return
    if _errno:
        code = getattr(errno, _errno)
        raise OSError(code, os.strerror(code))
    os.kill(int(os.environ[_MAIN]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
