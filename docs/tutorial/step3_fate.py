"""Step 3: the same firecracker on Fate."""

import random

from fate import Fate


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
