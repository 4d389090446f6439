"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)


# Seconds until workers that were told to stop are killed: they wait a few for the answers to
# their letters (STOP_SECONDS of dispatch.py), and a run that is being opened is opened again.
STOP_PATIENCE = 10.0


def end_with_parent(signum: int = signal.SIGTERM) -> None:
    """Ask the kernel for a signal when the parent dies; only Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signum)


def let_children_die_with_us() -> None:
    """Let every process that this one, or a descendant of it, forks from now on die with its parent.

    The kernel forgets such a wish at each fork.
    """
    parents: list[int] = []

    def before() -> None:
        parents[:] = [os.getpid()]

    def after_in_child() -> None:
        end_with_parent(signal.SIGKILL)
        if os.getppid() != parents[0]:  # It died before it could be asked for.
            os._exit(1)

    os.register_at_fork(before=before, after_in_child=after_in_child)
