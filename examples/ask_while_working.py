"""Works and listens at the same time: looks for prime numbers, and answers you whenever you ask.

    python examples/ask_while_working.py                 # ask with Return; any number: is it prime?; "stop" ends it
    echo 97 | python examples/ask_while_working.py       # questions may come from a pipe or a file, too

The article's closing case: user input while background work is done. The work is a task that lets go of the loop
after each slice; the input is a fuse that burns when there is something to read.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator

import fate
from fate.errors import SourceError

SLICE = 0.01  # seconds of work between two looks at the world


class Primes:
    """All prime numbers, one after the other."""

    def __init__(self) -> None:
        self.found = [2]
        self.next = 3

    async def search(self) -> None:
        while True:
            pause = time.perf_counter() + SLICE
            while time.perf_counter() < pause:
                if self.is_prime(self.next):
                    self.found.append(self.next)
                self.next += 2
            await asyncio.sleep(0)  # whoever else has something to do, now

    def is_prime(self, number: int) -> bool | None:
        """None: too large to tell as yet."""
        for prime in self.found:
            if prime * prime > number:
                return number > 1
            if number % prime == 0:
                return False
        return None

    def answer(self, question: str) -> str:
        if not question:
            return f"{len(self.found):,} primes so far, up to {self.found[-1]:,}."
        if not question.isdecimal():
            return "Return alone: how far is it? A number: is it prime? stop: enough."
        verdict = {True: "is prime.", False: "is not prime.", None: "is too large for now, ask again later."}
        return f"{int(question):,} {verdict[self.is_prime(int(question))]}"


async def lines(loop: fate.Fate) -> AsyncIterator[str]:
    """The lines of standard input as they come, until its end."""
    fd = sys.stdin.fileno()
    rest = b""
    while True:
        try:
            await loop.get_fuse(readable=fd)
        except SourceError:
            pass  # a regular file, or /dev/null: there is nothing to wait for, reading never blocks
        try:
            data = os.read(fd, 4096)  # not sys.stdin.readline(), which keeps to itself what it has read ahead
        except OSError:  # the terminal is gone
            data = b""
        *complete, rest = (rest + data).split(b"\n")
        for line in complete:
            yield line.decode(errors="replace").strip()
        if not data:
            if rest:
                yield rest.decode(errors="replace").strip()
            return


async def main() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, fate.Fate)
    primes = Primes()
    work = asyncio.create_task(primes.search())
    print("Looking for primes. Return: how far? A number: is it prime? stop: enough.", flush=True)
    async for question in lines(loop):
        if question == "stop":
            break
        print(primes.answer(question), flush=True)
    work.cancel()
    print(f"In the end: {primes.answer('')}")


if __name__ == "__main__":
    try:
        fate.run(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped.")
