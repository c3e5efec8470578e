"""Step 2: an event manager of our own, in 30 lines. It looks at every fuse, five times a second."""

from __future__ import annotations

import random
import time
from collections.abc import Callable


class Fate:
    def __init__(self) -> None:
        self._shutdown = False
        self.fuses: list[Fuse] = []

    def get_fuse(self, seconds: float) -> Fuse:
        fuse = Fuse(time.time() + seconds)
        self.fuses.append(fuse)
        return fuse

    def check_fuses(self) -> None:
        for fuse in list(self.fuses):
            if fuse.handler and fuse.is_burned():
                self.fuses.remove(fuse)
                fuse.handler()

    def run(self) -> None:
        while not self._shutdown:
            self.check_fuses()
            time.sleep(0.2)

    def shutdown(self) -> None:
        self._shutdown = True


class Fuse:
    def __init__(self, time: float) -> None:
        self.time = time
        self.handler: Callable[[], object] | None = None

    def is_burned(self) -> bool:
        return self.time < time.time()

    def set_handler(self, handler: Callable[[], object]) -> None:
        self.handler = handler


class FireCracker:
    def __init__(self, owner: str, fate: Fate) -> None:
        self.owner = owner
        self.fate = fate

    def hand_to(self, new_owner: str) -> None:
        self.owner = new_owner

    def light_fuse(self) -> None:
        fuse = self.fate.get_fuse(random.choice([0.1, 0.2, 0.3]))
        fuse.set_handler(self.explode)

    def explode(self) -> None:
        print(f"BOOM! Firecracker exploded in the unlucky hands of {self.owner}")
        self.fate.shutdown()


fate = Fate()
firecracker = FireCracker("Mad Hatter", fate)
firecracker.light_fuse()
firecracker.hand_to("Ben Eills")
fate.run()
