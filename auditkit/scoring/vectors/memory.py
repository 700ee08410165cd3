"""How much memory this process may count on."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

CONTROL_GROUP = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit() -> int:
    """Bytes: the machine's memory, or what a container allows where that is less."""
    machine: int = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [machine]
    for path in CONTROL_GROUP:
        with suppress(OSError, ValueError):  # "max": no limit
            limits.append(int(path.read_text()))
    return min(limits)
