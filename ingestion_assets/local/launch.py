"""Replaces itself with a server that dies with its parent and never runs as root.

Run as `python -m ingestion_assets.local.launch PARENT SIGNAL COMMAND…`; `command` builds that line.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_SET_PARENT_DEATH_SIGNAL, _SET_SECURE_BITS, _AMBIENT, _AMBIENT_RAISE = 1, 28, 47, 2
_NO_SETUID_FIXUP, _KEEP_CAPABILITIES = 4, 16
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE = 1

SERVER_USER = "nobody"


def command(line: Sequence[str], *, parent_death: signal.Signals) -> list[str]:
    """Wrap a command line, for this process to start: it gets `parent_death` when we die."""
    return [sys.executable, "-m", __name__, str(os.getpid()), str(int(parent_death)), *line]


def server_uid() -> int:
    """The user id under which `launch` runs a server: ours, or nobody's if we are root."""
    if os.geteuid() != 0:
        return os.geteuid()
    import pwd  # noqa: PLC0415 - a POSIX module that only root needs

    return pwd.getpwnam(SERVER_USER).pw_uid


def main() -> None:
    """Drop root if we have it, tie our life to the parent's, and become the command."""
    parent, parent_death, program, *arguments = sys.argv[1:]
    if os.geteuid() == 0:
        _become(server_uid())
    die_with_parent(int(parent), int(parent_death))
    os.execv(program, [program, *arguments])


def die_with_parent(parent: int, parent_death: int) -> None:
    """Get a signal when the thread that started this process ends; only Linux sends one."""
    if sys.platform == "linux":
        _prctl(_SET_PARENT_DEATH_SIGNAL, parent_death)
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def _become(uid: int) -> None:
    """Change to an unprivileged user that can still reach files below root's private folders.

    Postgres refuses to run as root. Opening root's folders to everyone would be the alternative;
    the one capability that survives here (CAP_DAC_OVERRIDE) leaves their permissions alone.
    """
    if sys.platform == "linux":
        # Without the first bit access(2), with which initdb looks for its programs, would still
        # answer as for a user without the capability.
        _prctl(_SET_SECURE_BITS, _NO_SETUID_FIXUP | _KEEP_CAPABILITIES)
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    if sys.platform == "linux":
        _keep_capability(_DAC_OVERRIDE)


def _keep_capability(capability: int) -> None:
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        raise OSError(ctypes.get_errno(), "capset failed")
    _prctl(_AMBIENT, _AMBIENT_RAISE, capability)


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(word) for word in (*arguments, 0, 0, 0, 0)[:4]]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *words) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")


if __name__ == "__main__":
    main()
