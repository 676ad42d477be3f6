"""The machine at hand, by the name that records and locks give it."""

from __future__ import annotations

import os


def host_name() -> str:
    """The name that `socket.gethostname` gives too, without the time that loading sockets takes."""
    return os.uname().nodename
