"""Step 1: the naive firecracker. It keeps the whole world waiting."""

import random
import time


class FireCracker:
    def __init__(self, owner: str) -> None:
        self.owner = owner

    def hand_to(self, new_owner: str) -> None:
        self.owner = new_owner

    def light_fuse(self) -> None:
        burning_time = random.choice([0.1, 0.2, 0.3])
        time.sleep(burning_time)  # do not do this!
        self.explode()

    def explode(self) -> None:
        print(f"BOOM! Firecracker exploded in the unlucky hands of {self.owner}")


firecracker = FireCracker("Mad Hatter")
firecracker.light_fuse()
firecracker.hand_to("Ben Eills")
