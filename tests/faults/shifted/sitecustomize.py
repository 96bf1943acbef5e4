"""Python runs this at its start when its folder is on the path: the wall clock then is off by what a file says.

The file ($SHIFTED_CLOCK) holds seconds and may be changed at any time; the monotonic clock is left alone, as by a real
change of the machine's time.
"""

import os
import time

_file = os.open(os.environ["SHIFTED_CLOCK"], os.O_RDONLY)
_real_ns = time.time_ns


def _shift() -> int:
    return int(os.pread(_file, 20, 0) or b"0") * 1_000_000_000


time.time_ns = lambda: _real_ns() + _shift()
time.time = lambda: time.time_ns() / 1e9
