"""What a process says that has lost another one which it trains with: a consequence, wherever a cause can be had."""

from __future__ import annotations

from state.diagnostic import Diagnostic

SUMMARY = "Connection lost"
_ERRORS = ("DistBackendError", "DistNetworkError", "DistStoreError")
"""What torch raises where it cannot reach the others."""
_MARKS = (
    *("Connection closed by peer", "Connection reset by peer", "Connection refused", "Broken pipe"),
    *("remote process exited", "NCCL communicator was aborted"),
)
"""What gloo and NCCL say, in errors that are of no class of their own."""


def is_lost(error: Exception) -> bool:
    """Whether an error of this process is that another one does not answer any more."""
    if type(error).__name__ in _ERRORS:
        return True
    return type(error) is RuntimeError and any(mark in str(error) for mark in _MARKS)


def explain(error: Exception) -> Diagnostic:
    """The error in words."""
    said = str(error).strip().splitlines()[0].partition(". ")[0].rstrip(".")
    detail = f"Another process of the run does not answer any more: {said}."
    return Diagnostic(SUMMARY, detail, "It has ended, or its machine or the network has: look at its node.")
