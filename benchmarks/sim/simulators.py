"""WHO is measured: one class a simulator, each used as its own documentation says.

Each can run a program once (`run`) and many times, one seed after the other (`sweep`). `explores`: a seed decides in
which order things happen, or when, not only what `random` says. What is installed and imported where: a simulator is
imported in the child process that measures it, and nowhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.sim import programs

Program = Callable[[], Coroutine[Any, Any, Any]]
SEED = 7
ENDLESS = 10**9


class Simulator:
    """What the rows ask of a simulator. host: the address that its servers listen on."""

    name: str
    title: str
    requirement: str | None = None
    explores = True
    tcp = True
    host = "127.0.0.1"

    def settle(self) -> None:
        """Called first of all in a process: where a simulator has means to make processes alike, it takes them."""

    def run(self, program: Program) -> Any:
        """Run it once, under `SEED`; what it returns."""
        raise NotImplementedError

    def sweep(self, program: Program, count: int) -> None:
        """Run it under so many seeds."""
        raise NotImplementedError

    def ping_pong(self, rounds: int) -> None:
        """Run `programs.ping_pong`."""
        self.run(lambda: programs.ping_pong(self.host, rounds))


class Fate(Simulator):
    """Fate as it runs a program first: time, network and chance are simulated, and no fault is drawn."""

    name, title = "fate", "Fate"
    explores = False
    faults: Any = None

    def settle(self) -> None:
        from fate.sim import reexec

        reexec.settle()

    def run(self, program: Program) -> Any:
        import fate.sim

        return fate.sim.run(as_async(program), SEED, self.faults)

    def sweep(self, program: Program, count: int) -> None:
        import fate.sim

        for seed in range(count):
            fate.sim.run(program, seed, self.faults)


class FateExploring(Fate):
    """Fate as it searches: what is open in a real program is decided by the seed, as its peers decide it always."""

    name, title = "fate-drawn", "Fate, drawn"
    explores = True
    faults = ("order", "latency", "split", "clock", "job", "dns")


class Simloop(Simulator):
    """simloop: a seeded draw among ready callbacks."""

    name, title, requirement = "simloop", "simloop", "simloop==0.2.2"
    host = "driver"  # its name for the machine that the test runs on; nothing answers at 127.0.0.1

    def run(self, program: Program) -> Any:
        from simloop import SimLoop

        loop = SimLoop(seed=SEED)
        try:
            return loop.run_until_complete(program())
        finally:
            loop.close()

    def sweep(self, program: Program, count: int) -> None:
        from simloop import explore

        assert explore(program, range(count)) is None


class Simloom(Simulator):
    """simloom: every choice is on a tape."""

    name, title, requirement = "simloom", "simloom", "simloom==0.5.0"

    def settle(self) -> None:
        import simloom

        simloom.pin_hashseed()

    def run(self, program: Program) -> Any:
        import simloom

        return simloom.run(program, seed=SEED, seed_randomness=True, virtual_time=True).value

    def sweep(self, program: Program, count: int) -> None:
        import simloom

        assert simloom.explore(program, runs=count).runs == count


class Detangle(Simulator):
    """detangle: a random walk through the schedules; its limit of steps is lifted."""

    name, title, requirement = "detangle", "detangle", "detangle==0.1.0"

    def run(self, program: Program) -> Any:
        import detangle

        return detangle.run(program, seed=SEED, max_steps=ENDLESS)

    def sweep(self, program: Program, count: int) -> None:
        import detangle

        assert detangle.explore(program, runs=count, strategy="random", seed=SEED, database=False).runs == count


class Seedloop(Simulator):
    """seedloop: first in, first out; a seed decides how long messages take. It has endpoints in place of sockets."""

    name, title, requirement = "seedloop", "seedloop", "seedloop==0.4.1"
    explores = False
    tcp = False

    def settle(self) -> None:
        import seedloop

        seedloop.ensure_hash_seed(SEED)

    def run(self, program: Program) -> Any:
        import seedloop

        results = []

        async def scenario(world: Any) -> None:
            results.append(await program())

        seedloop.replay(scenario, seed=SEED)
        return results[0]

    def sweep(self, program: Program, count: int) -> None:
        import seedloop

        async def scenario(world: Any) -> None:
            await program()

        assert seedloop.check(scenario, seeds=count).checked == count

    def ping_pong(self, rounds: int) -> None:
        import seedloop

        async def scenario(world: Any) -> None:
            client, server = world.net.bind(0, reliable=True), world.net.bind(1, reliable=True)

            async def serve() -> None:
                for _ in range(rounds):
                    sender, data = await server.recv()
                    await server.send(sender, data)

            task = asyncio.get_running_loop().create_task(serve())
            for _ in range(rounds):
                await client.send(1, programs.PAYLOAD)
                assert (await client.recv())[1] == programs.PAYLOAD
            await task

        seedloop.replay(scenario, seed=SEED)


SIMULATORS = {
    simulator.name: simulator for simulator in (Fate(), FateExploring(), Simloop(), Simloom(), Detangle(), Seedloop())
}


def as_async(program: Program) -> Program:
    """The same as an async function, where one is asked for."""

    async def main() -> Any:
        return await program()

    return main
