"""Step 5: await a fuse instead of giving it a handler, and the program reads from top to bottom again."""

import asyncio

import fate


async def light(name: str, seconds: float) -> str:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, fate.Fate)
    print(f"{name} lights a fuse")
    await loop.get_fuse(seconds)
    return f"{name}'s firecracker explodes"


async def main() -> None:
    print(await light("The Mad Hatter", 0.1))
    print(await light("Ben Eills", 0.1))


fate.run(main())
