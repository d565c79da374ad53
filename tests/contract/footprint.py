"""What a process holds: tasks and memory, to be compared before and after."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Footprint:
    """What there is just now."""

    tasks: int
    blocks: int
    """Objects that Python's allocator holds."""
    resident_bytes: int


async def footprint() -> Footprint:
    """Measure, when what is just ending has ended."""
    await asyncio.sleep(0)
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Footprint(len(asyncio.all_tasks()), sys.getallocatedblocks(), pages * os.sysconf("SC_PAGE_SIZE"))


async def tasks_are_back(before: int) -> bool:
    """Whether there are no more tasks than there were."""
    return (await footprint()).tasks <= before
