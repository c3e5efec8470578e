"""Step 5: the gunpowder plot. A handler lights the next fuse, and that one's handler the next."""

from collections.abc import Callable

from fate import Fate


def explode_parliament() -> None:
    print("Boom! The Houses of Parliament explode!")
    fate.shutdown()


class FuseInChain:
    def __init__(self, burn_time: float, then: Callable[[], None]) -> None:
        self.burn_time = burn_time
        self.then = then

    def ignite(self) -> None:
        print("...igniting next fuse in chain...")
        fuse = fate.get_fuse(self.burn_time)
        fuse.set_handler(self.then)


fate = Fate()
ignite = explode_parliament
for burn_time in (0.1, 0.2, 0.3):  # from the barrel backwards
    ignite = FuseInChain(burn_time, ignite).ignite
ignite()
fate.run()
