"""The Mad Hatter lights a firecracker and hands it to Ben. While the fuse burns, the world goes on.

    python examples/mad_hatter.py

The program of Ben Eills's article "Async Python and Twisted", in today's Python. It ends two seconds after the bang.
"""

import random

from fate import Fate


class FireCracker:
    def __init__(self, owner: object, fate: Fate) -> None:
        self.owner = owner
        self.fate = fate

    def hand_to(self, new_owner: object) -> None:
        self.owner = new_owner

    def explode(self) -> None:
        print(f"BOOM! Firecracker exploded in the unlucky hands of {self.owner}")
        # After any explosion, shutdown program after 2 second delay
        # Otherwise we'd have to kill the program
        f = self.fate.get_fuse(2)
        f.set_handler(self.fate.shutdown)

    def light_fuse(self) -> None:
        burning_time = random.choice([0.5, 1.0, 1.5, 2.0])
        f = self.fate.get_fuse(burning_time)
        f.set_handler(self.explode)


class MadHatter:
    def __repr__(self) -> str:
        return "Mad Hatter"


class BenEills:
    def __repr__(self) -> str:
        return "Ben Eills"


# Universe come into existence
fate = Fate()
# Hatter and Ben are born
hatter = MadHatter()
ben = BenEills()
# FireCracker appears, initially owned by the Hatter
fc = FireCracker(hatter, fate)
# The Hatter lights the fuse
fc.light_fuse()
# And hands it to Ben
fc.hand_to(ben)
# Universe begins paying attention to duration of time
# At some point during run, the FireCracker will explode
#   and 2 seconds later, Fate will be shutdown
fate.run()
# Universe has ended.  We have no cleanup to do.
