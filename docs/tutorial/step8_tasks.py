"""Step 8: asyncio tasks beside fuses. They are on one loop, so they can wait for each other."""

import asyncio

import fate


async def carry(bucket: int, fuse: fate.Fuse) -> None:
    await asyncio.sleep(0.1 * bucket)
    print(f"bucket {bucket} arrives")
    if bucket == 2:
        fuse.cancel()  # water on it


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, fate.Fate)
    fuse = loop.get_fuse(60)
    fuse.set_handler(print, "BOOM!")
    async with asyncio.TaskGroup() as people:
        for bucket in (3, 1, 2):
            people.create_task(carry(bucket, fuse))
        try:
            await fuse
        except asyncio.CancelledError:
            print("the fuse is out")


fate.run(main())
