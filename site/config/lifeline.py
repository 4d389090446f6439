"""Processes that must not outlive the one that started them."""

from __future__ import annotations

import contextlib
import ctypes
import signal

PR_SET_PDEATHSIG = 1  # prctl(2)


def stop_patience(smtp_timeout: float) -> float:
    """Return for how many seconds workers are waited for: the letter in the hand of one may need
    two replies of the mail server. After that they hang and are killed."""
    return 2 * smtp_timeout + 5


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies; only Linux can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
