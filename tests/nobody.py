"""What a user without rights may do, in a process of its own; whoever runs the tests without rights is one already."""

import ctypes
import os
import traceback
from collections.abc import Callable

NOBODY = 65534
_PR_SET_DUMPABLE = 4


def as_nobody(work: Callable[[], None]) -> None:
    """Raises AssertionError with the child's own words when `work` fails there."""
    libc = ctypes.CDLL(None, use_errno=True)
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
                libc.prctl(_PR_SET_DUMPABLE, 1)  # else /proc/self stays root's, as it would not after an exec
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(tell, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(code)
    os.close(tell)
    with os.fdopen(told, "rb") as words:
        said = words.read().decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, said
