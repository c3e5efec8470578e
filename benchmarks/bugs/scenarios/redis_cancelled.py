"""Two visitors of a web site, one after the other: each is greeted with the name that Redis has for them.

A visitor may go away at any time, and then the web server cancels the task. redis-py 4.5.1 and 4.5.3 put the connection
of such a task back into the pool with the reply still to come, and the next visitor is greeted by it (issue 2665).
"""

import asyncio

from redis.asyncio import Redis

NAMES = {"visitor:1": "Ada", "visitor:2": "Grace"}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As much of Redis as it takes: GET, and OK for all that clients say at their beginning."""
    try:
        while (line := await reader.readline()).startswith(b"*"):
            words = []
            for _ in range(int(line[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            await asyncio.sleep(0.001)
            if words[0] == "GET":
                value = NAMES[words[1]]
                writer.write(f"${len(value)}\r\n{value}\r\n".encode())
            else:
                writer.write(b"+OK\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def greet(redis: Redis, visitor: str) -> None:
    name = await redis.get(visitor)
    assert name == NAMES[visitor], f"{visitor} is greeted as {name}"


async def main() -> None:
    async with await asyncio.start_server(serve, "127.0.0.1", 6379):
        redis = Redis(host="127.0.0.1", decode_responses=True)
        try:
            for visitor in NAMES:
                [error] = await asyncio.gather(greet(redis, visitor), return_exceptions=True)
                if isinstance(error, Exception):
                    raise error
        finally:
            await redis.close()
            await redis.connection_pool.disconnect()
