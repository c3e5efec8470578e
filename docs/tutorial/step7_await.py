"""Step 7: the plot again, with await. It reads from top to bottom."""

import asyncio

import fate


async def plot() -> str:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, fate.Fate)
    for burn_time in (0.3, 0.2, 0.1):
        print("...igniting next fuse in chain...")
        await loop.get_fuse(burn_time)
    return "Boom! The Houses of Parliament explode!"


print(fate.run(plot()))
