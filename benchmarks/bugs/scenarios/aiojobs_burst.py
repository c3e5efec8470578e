"""A burst of six letters for a scheduler that sends two at a time and lets two wait.

In aiojobs 1.0.0, a letter that waits until there is room counts as one that is being sent. With two such letters
nothing more is ever sent (issue 98).
"""

import asyncio

import aiojobs


async def send(letter: str) -> None:
    await asyncio.sleep(0.1)


async def main() -> None:
    scheduler = await aiojobs.create_scheduler(limit=2, pending_limit=2)
    try:
        letters = ("to Ada", "to Alan", "to Grace", "to Edsger", "to Barbara", "to Donald")
        await asyncio.gather(*(scheduler.spawn(send(letter)) for letter in letters))
        await asyncio.sleep(1)
    finally:
        await scheduler.close()
