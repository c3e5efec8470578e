"""A chain of fuses that leads to a barrel under the Houses of Parliament: each fuse lights the next.

    python examples/gunpowder_plot.py

The second program of Ben Eills's article "Async Python and Twisted", in today's Python. It burns for 2.4 seconds.
"""

from __future__ import annotations

from fate import Fate


def explode_parliament() -> None:
    """This function explodes Parliament and shuts down universe."""
    print("Boom! The Houses of Parliament explode!")
    fate.shutdown()


class FuseInChain:
    """This class represents a fuse in part of a chain."""

    def __init__(self, tie_to: FuseInChain | None, burn_time: float) -> None:
        """
        Initialize a new fuse in our chain, tying it to the current end
        fuse, tie_to
        If tie_to is None, we are tied directly to the barrel.
        We become the new end fuse.
        """
        self.next = tie_to
        self.burn_time = burn_time

    def ignite(self) -> None:
        """
        Ignite this fuse.
        """
        print("...igniting next fuse in chain...")
        f = fate.get_fuse(self.burn_time)
        if self.next is None:
            # We are the last Fuse in the chain.  Blow up barrel.
            f.set_handler(explode_parliament)
        else:
            f.set_handler(self.next.ignite)


fate = Fate()
tmp = FuseInChain(None, 0.3)
for i in range(7):
    tmp = FuseInChain(tmp, i / 10.0)
last = tmp
last.ignite()
fate.run()
