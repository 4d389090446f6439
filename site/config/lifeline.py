"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)


# Seconds until workers that were told to stop are killed: they wait a few for the answers to
# their letters (STOP_SECONDS of dispatch.py), and a run that is being opened is opened again.
STOP_PATIENCE = 10.0


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; only Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
