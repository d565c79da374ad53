"""What a process holds: tasks and memory, to be compared before and after."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def tasks_now() -> int:
    """Count the tasks when those that are just ending have ended."""
    await asyncio.sleep(0)
    gc.collect()
    return len(asyncio.all_tasks())


async def tasks_are_back(before: int) -> bool:
    """Whether there are no more tasks than there were."""
    return await tasks_now() <= before
