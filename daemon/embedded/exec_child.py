"""Become a server that dies with the daemon: run as a script in a child process, it never returns but execs.

Not `preexec_fn`, because that runs Python between fork and exec of a process with threads; a fresh interpreter has
none. Only the standard library is used, and all of it before the privileges go.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
"""<linux/prctl.h>; https://man7.org/linux/man-pages/man2/prctl.2.html"""

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of the daemon's, which may hold keys."""


def main(parent: str, death_signal: str, account: str, *command: str) -> None:
    """Exec `command` as `account` ("uid:gid", empty: as we are), with a signal set for the death of `parent`.

    The kernel forgets that signal when the uid changes, so it is set afterwards.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o077)
    if account:
        uid, gid = map(int, account.split(":"))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    for option, value in ((_PR_SET_PDEATHSIG, int(death_signal)), (_PR_SET_NO_NEW_PRIVS, 1)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):  # it died before it could be watched
        sys.exit(1)
    os.execve(command[0], command, _ENVIRONMENT)  # noqa: S606 # no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
