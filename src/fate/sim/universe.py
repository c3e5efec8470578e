"""A universe: one program run once in a simulated world, and what came of it.

`run` is the smallest way in. `Universe` adds hosts, promises and the result with every decision that was taken. What
is replaced meanwhile is `patches`' affair; where time passes, `kernel`'s; who tries many seeds, `explore`'s.
"""

from __future__ import annotations

import functools
import gc
import inspect
import os
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from fate import singletons
from fate.sim import failures, foreigners, guard, leftovers, names, notices, patches, spinning, world
from fate.sim.decisions import Decision, Decisions
from fate.sim.errors import (
    BrokenPromiseError,
    HangError,
    HostError,
    NestedUniverseError,
    ScenarioError,
    StuckError,
    UniverseError,
)
from fate.sim.failures import NOTHING, Allowed, Failure
from fate.sim.faults import Faults, duration
from fate.sim.hosts import Host, Others
from fate.sim.kernel import Kernel
from fate.sim.network import Network
from fate.sim.states import FREE_TURNS
from fate.sim.story import describe_tasks
from fate.sim.strikes import Strikes
from fate.sim.words import plain, words_of

if TYPE_CHECKING:
    from fate.sim.played import Child

T = TypeVar("T")
DAY = 86400.0
MOST_STEPS = 10_000_000  # so often time passes before a run counts as hanging: a minute of nothing but waiting
STEPS_OF_THE_END = 10_000  # so often time passes while what is left is cancelled
LONGEST = 36525 * DAY
NO_STRIKES = Strikes()  # of all universes without faults


@dataclass
class Result(Generic[T]):
    """What came of one run.

    value: what the program returned, None if it failed. error: what it raised, None if it did not.
    events: what happened, if that was asked for: tuples that begin with the virtual time in nanoseconds and what it
    was. seconds: how long it took, in virtual time. steps: how often time passed.
    """

    seed: int
    value: T | None = None
    error: BaseException | None = None
    events: list[tuple[Any, ...]] = field(default_factory=list)
    seconds: float = 0.0
    steps: int = 0
    reports: list[dict[str, Any]] = field(default_factory=list)
    leftovers: list[Any] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _chance: Decisions | None = field(default=None, repr=False, compare=False)
    _decisions: list[Decision] | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def decisions(self) -> list[Decision]:
        """All that were taken, in their order."""
        if self._decisions is None:
            self._decisions = [] if self._chance is None else self._chance.decisions()
        return self._decisions

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong."""
        return not self.failures

    def faults(self) -> list[Decision]:
        """The decisions that differed from the benign default."""
        return [] if self._chance is None else self._chance.faults()


class Universe(Generic[T]):
    """One simulated world, for one run of one program.

    seed: any integer; the same seed is the same run.
    faults: what may go wrong: None (nothing), "all", names of `faults.KINDS`, probabilities by name, or a `Faults`.
    overrides: decisions that are forced, by (label, n). drawn: False: all others are benign.
    history: keep what happens, for `Result.events`.
    limit: the virtual time in seconds after which the run counts as hanging. steps: so does one in which time passes
        more often than this, as where a task spins on `sleep(0)` for ever; 0: as often as it likes.
    allow: failures that are none here: kinds, such as "leftover", or KIND:NAME, such as "leftover:worker". See
        `failures.KINDS`.
    Raises ScenarioError for arguments of a wrong kind.
    """

    programs: Mapping[str, Callable[[Child], Coroutine[Any, Any, Any]]] = MappingProxyType({})
    judged = False  # somebody asks whether errors are a fault's own, see `excuses`

    def __init__(
        self,
        seed: int = 0,
        faults: Any = None,
        *,
        overrides: Mapping[tuple[str, int], int] | None = None,
        drawn: bool = True,
        history: bool = False,
        limit: float = 30 * DAY,
        steps: int = MOST_STEPS,
        allow: Iterable[str] = (),
    ) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise ScenarioError(f"a seed is an integer, not {seed!r}")
        if not isinstance(limit, (int, float)) or not 0 < limit <= LONGEST:
            raise ScenarioError(f"the limit is a number of seconds above 0, and a century at most, not {limit!r}")
        self.allowed = Allowed(allow) if allow != () else NOTHING
        self.seed = seed
        self.faults = Faults.make(faults)
        self.decisions = Decisions(seed, overrides, drawn)
        self.kernel = Kernel(self.decisions, int(limit * 1e9))
        if steps:
            if not isinstance(steps, int):
                raise ScenarioError(f"the steps are a whole number, 0 for as many as there are, not {steps!r}")
            self.kernel.most_steps = steps
        if history:
            self.kernel.history = []
        if self.faults is not None:
            self.kernel.order = max(0.0, self.faults.probability("order"))
        self.world = world.World(self.kernel)
        self.world.universe = self
        self.hosts: dict[str, Host] = {}
        self.failures: list[Failure] = []
        self.dead: list[Any] = []  # of hosts that crashed: kept, so that no `finally` runs while the universe does
        self.promises: list[tuple[Callable[[], Any], str]] = []
        self.strikes = NO_STRIKES if self.faults is None else Strikes()
        self.result: Result[T] | None = None
        self.deaf: list[leftovers.Leftover] = []  # tasks that have been cancelled, and go on
        self._seen: tuple[Any, ...] = ()  # what spins, when it was last looked at
        self._limit = limit
        self._begun = False
        self.main = self.world.host = Host(self, self.world, "main", None)
        self.hosts["main"] = self.main

    def make_others(self) -> Others:
        """Who runs while the main loop waits. For `World`."""
        return Others(self)

    def make_network(self) -> Network:
        """The network, with the machine of the main host. For `World`."""
        network = Network(self.kernel, self.faults if self.faults is not None and self.faults.network else None)
        network.strike = self
        network.add("main")
        return network

    @property
    def now(self) -> float:
        """Seconds of virtual time since the universe began."""
        return self.kernel.now / 1e9

    def always(self, promise: Callable[[], Any], what: str = "") -> None:
        """Fail as soon as `promise()` gives something false, or raises. It is called after each callback of each host.

        what: it in words; by default, the function's name.
        """
        self._check_open()
        if not callable(promise) or inspect.iscoroutinefunction(promise):
            raise ScenarioError(f"a promise is a function without arguments that is not async, not {promise!r}")
        self.promises.append((promise, what or getattr(promise, "__qualname__", repr(promise))))
        for host in self.hosts.values():
            if host.booted and host.watcher is None:
                host.watch()

    def host(self, name: str, main: Callable[[], Coroutine[Any, Any, Any]]) -> Host:
        """Add a computer with addresses, a clock and an event loop of its own, and run `main()` on it.

        name: what other hosts resolve. main: an async function without arguments; it begins when the universe does, or
            at once, and again at each restart.
        Raises HostError if there is one of that name; ScenarioError if `main` is no async function, or the universe has
            ended.
        """
        self._check_open()
        check_scenario(main)
        if not isinstance(name, str) or not name or not name.replace("-", "").replace(".", "").isalnum():
            raise HostError(f"a host's name is made of letters, digits, hyphens and dots, not {name!r}")
        if name in self.hosts or name in names.LOCALHOSTS:
            raise HostError(f"there is a host {name!r} already")
        host = self.hosts[name] = Host(self, self.world, name, main)
        self.world.need_others()
        if world.current is self.world:
            host.boot()
        return host

    def program(self, name: str, play: Callable[[Child], Coroutine[Any, Any, Any]]) -> None:
        """Have the program `name` played by a function where `asyncio.create_subprocess_exec` starts it, on any host.

        name: as it is started, or the last part of its path; "sh" is what `create_subprocess_shell` starts.
        play: an async function of one argument, a `Child`: its words, its environment and its pipes. What it returns is
            the exit status; None: 0. A signal cancels it.
        Raises ScenarioError if `play` is no async function.
        """
        check_scenario(play, 1)
        self.programs = {**self.programs, name: play}

    def partition(self, source: str, target: str, both: bool = True) -> None:
        """Let nothing through from one host to another any more; both: nor back. TCP sends it again after `heal`.

        Raises HostError for a name that is none, or twice the same.
        """
        self._check_two(source, target)
        self.cut(source, target, both)

    def heal(self, source: str, target: str, both: bool = True) -> None:
        """Let everything through again. Raises HostError for a name that is none, or twice the same."""
        self._check_two(source, target)
        self.mend(source, target, both)

    def slow(self, source: str, target: str, seconds: float) -> None:
        """Have everything from one host to another take so much longer.

        Raises HostError as `partition`; ScenarioError for a time that is negative or no finite number.
        """
        self._check_two(source, target)
        if not isinstance(seconds, (int, float)) or not 0 <= seconds <= LONGEST:
            raise ScenarioError(f"a way is slower by a number of seconds, 0 or more, not {seconds!r}")
        self.world.network.way(source, target).extra = int(seconds * 1e9)

    def _check_open(self) -> None:
        if self._begun and world.current is not self.world:
            raise ScenarioError("this universe has ended: make another one")

    def _known(self, name: str) -> Host:
        self._check_open()
        if name not in self.hosts:
            raise HostError(f"there is no host {name!r}; there are: {', '.join(self.hosts)}")
        return self.hosts[name]

    def _check_two(self, source: str, target: str) -> None:
        self._known(source)
        self._known(target)
        if source == target:
            raise HostError(f"nothing can come between {source!r} and itself")

    # What faults do, see `links.Strike`.

    def cut(self, source: str, target: str, both: bool) -> None:
        """See `partition`."""
        network = self.world.network
        network.way(source, target).cut = True
        if both:
            network.way(target, source).cut = True

    def mend(self, source: str, target: str, both: bool) -> None:
        """See `heal`."""
        network = self.world.network
        network.way(source, target).heal()
        if both:
            network.way(target, source).heal()

    def crash(self, name: str) -> None:
        """Crash a host, if it is up. Raises HostError for a name that is none, and for the main host."""
        host = self._known(name)
        if host.up:
            host.crash()

    def restart(self, name: str) -> None:
        """Switch a host on again, if it is down. Raises HostError for a name that is none."""
        host = self._known(name)
        if not host.up:
            host.restart()

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `main()` on the host "main"; return what it returns.

        main: an async function without arguments.
        Raises what it raises; StuckError when nothing can ever happen any more; HangError when its time is over;
        NestedUniverseError inside a universe; ScenarioError for what is no async function, or on a second run.
        """
        result = self.attempt(main)
        if result.error is not None:
            raise result.error
        return result.value  # type: ignore[return-value]

    def attempt(self, main: Callable[[], Coroutine[Any, Any, T]]) -> Result[T]:
        """Run `main()` as `run` does, and tell how it went: what the program raises is in the result."""
        check_scenario(main)
        if self._begun:
            raise ScenarioError("a universe runs once: make another one")
        if world.current is not None:
            raise NestedUniverseError(
                "a universe cannot be started inside a universe: run the inner one after the outer one has ended"
            )
        self._begun = True
        self.world.ident = guard.watch()
        self.kernel.on_stuck = self._stuck
        self.kernel.on_limit = self._over
        self.kernel.on_spin = self._spins
        patched = patches.patches()
        modules = len(sys.modules)
        result: Result[T] = Result(self.seed, _chance=self.decisions)
        self.result = result
        world.current = self.world
        patched.put(self.decisions.bits("random"))
        collects = gc.isenabled()
        gc.disable()  # when it comes depends on what ran before: the kernel and the end of the run collect
        try:
            for host in list(self.hosts.values()):
                host.boot()
            self.main.loop.place.enter()
            self._live(main, result)
        finally:
            try:
                self._end()
            finally:
                world.current = None
                patched.take_away()
                singletons.REAL.enter()
                self._part()
                if collects:
                    gc.enable()
        if len(sys.modules) > modules:
            foreigners.imported([*sys.modules][modules:])
        result.failures = [failure for failure in self.failures if not self.allowed.covers(failure)]
        return result

    def _live(self, main: Callable[[], Coroutine[Any, Any, T]], result: Result[T]) -> None:
        loop = self.main.loop
        try:
            result.value = loop.run_until_complete(loop.create_task(main(), name="main"))
        except (KeyboardInterrupt, SystemExit) as error:
            blocked = guard.take()
            if blocked is not None:
                result.error = blocked.with_traceback(error.__traceback__)
                self._failed(blocked)
            elif isinstance(error, SystemExit) or not guard.is_of_the_user(error):
                # SystemExit, whatever its code: what came after it has not been looked at
                result.error = error
                self._failed(error)
            else:
                raise
        except BaseException as error:
            result.error = error
            self._failed(error)
        result.seconds = self.kernel.now / 1e9
        result.steps = self.kernel.steps
        for host in self.hosts.values():
            if self.faults is not None or host.watcher is not None:
                host.disarm()
        if result.error is None:
            self.main.settle()
        self._collect()
        self._note_leftovers(result)
        for host in self.hosts.values():
            for report in host.loop.reports:
                cause = report.get("exception")
                told = f": {type(cause).__name__}: {words_of(cause)}" if cause is not None else ""
                message = words_of(report.get("message"))
                names = (*failures.names_of(cause), message)
                self.note("report", f"{message}{told}", cause, host.name, names)
                result.reports.append(report)
        if self.kernel.history is not None:
            result.events, self.kernel.history = self.kernel.history, None

    def _collect(self) -> None:
        """Collect what nobody refers to: an error that nobody has asked for is reported then."""
        for host in self.hosts.values():
            if host.loop.made_tasks or host.loop.place.states:
                gc.collect(0)  # all that was made in this universe is young, for nothing was collected meanwhile
                return

    def _note_leftovers(self, result: Result[T]) -> None:
        left = list(leftovers.dropped(self.world)) if self.world.dropped else []
        for host in self.hosts.values():
            if host.is_clean() or not host.up or (host.task is not None and not host.task.done()):
                continue  # a host whose program goes on has left nothing behind
            left += leftovers.of_host(host)
        if not left:
            return
        result.leftovers = [each.text for each in left]
        told = [each.text for each in left if not self.allowed.named("leftover", each.names)]
        if told and result.error is None:
            self.note("leftover", "left behind: " + "; ".join(told))

    def note(
        self,
        kind: str,
        message: str,
        error: BaseException | None = None,
        host: str = "main",
        names: tuple[str, ...] = (),
    ) -> None:
        """Something went wrong. See `Failure`."""
        self.failures.append(Failure(kind, plain(message), error, host, self.kernel.now, tuple(map(plain, names))))

    def _failed(self, error: BaseException) -> None:
        kind = "stuck" if isinstance(error, StuckError) else "hang" if isinstance(error, HangError) else "exception"
        names = failures.names_of(error)
        if isinstance(error, BrokenPromiseError):
            kind, names = "promise", (error.promise,)
        self.note(kind, failures.told(error), error, names=names)

    def _end(self) -> None:
        """End everything that still runs, as `asyncio.run` does: cancelled, and then closed."""
        self.kernel.on_stuck = self.kernel.on_limit = _give_up
        self.promises.clear()
        for host in self.hosts.values():
            host.frozen = True  # each ends alone
        self.kernel.limit = self.kernel.now + int(DAY * 1e9)
        self.kernel.most_steps = self.kernel.steps + STEPS_OF_THE_END
        try:
            for host in self.hosts.values():
                host.end()
            if self.world.threads is not None:
                self.world.threads.end()
        finally:
            if singletons.here().states:
                self._collect()  # lest what is left is reported in another universe
            if self.deaf and self.result is not None and self.result.error is None and len(self.hosts) == 1:
                text, allowed = (
                    "; ".join(each.text for each in self.deaf),
                    {n for each in self.deaf for n in each.names},
                )
                self.note(
                    "leftover",
                    f"not ended by being cancelled, and asyncio.run would wait for ever: {text}",
                    names=tuple(allowed),
                )
            self.kernel.forget()
            for path in self.world.paths:
                if os.path.exists(path):
                    os.unlink(path)

    def _part(self) -> None:
        """Undo the circles of references, so that what nobody holds is freed now, and not by the collector."""
        for host in self.hosts.values():
            host.part()
        self.world.part()

    def _stuck(self) -> None:
        waiting = [task for host in self.hosts.values() for task in host.pending()]
        raise StuckError(f"nothing can ever happen any more; these tasks wait for ever:{describe_tasks(waiting)}")

    def _spins(self) -> bool:
        """The program has been turning for a while, and waits for nothing; say whether it is where it was."""
        hosts = self.hosts.values()
        before, self._seen = self._seen, spinning.state_of(spinning.ready(hosts))
        self.kernel.spin_until = spinning.until(hosts)
        words = spinning.in_words(hosts)
        if words:
            notices.tell(f"{words}: to wait so takes a turn each time; await an event, or sleep for a while")
        return before == self._seen

    def _over(self) -> None:
        waiting = [task for host in self.hosts.values() for task in host.pending()]
        kernel = self.kernel
        steps = f"{kernel.most_steps:,} steps, " if kernel.steps >= kernel.most_steps else ""
        limit = f"the program did not end within {steps}{duration(kernel.now)} of virtual time"
        who = spinning.in_words(self.hosts.values()) if kernel.idle_polls > FREE_TURNS else ""
        raise HangError(f"{limit}{f'; {who}' if who else ''}; still there:{describe_tasks(waiting)}")


def current() -> Universe[Any]:
    """The universe that this program is in. Raises UniverseError in the real world."""
    if world.current is None:
        raise UniverseError("this is the real world: fate.sim.current() is for programs in a universe")
    universe: Universe[Any] = world.current.universe
    return universe


def _give_up() -> None:
    raise StuckError("the universe has ended")


def check_scenario(main: object, arguments: int = 0) -> None:
    """Raise ScenarioError unless `main` is an async function that can be called with so many arguments."""
    code = getattr(main, "__code__", None)
    if code is not None and code.co_flags & inspect.CO_COROUTINE and code.co_argcount == arguments:
        return  # most are plain async functions
    if inspect.iscoroutine(main):
        main.close()
        raise ScenarioError("give the async function itself, not a call of it: run(main), not run(main())")
    function = main
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(type(function), "__call__", None)  # noqa: B004  # of an object with an async __call__
    wanted = "an async function without arguments" if not arguments else "an async function of one argument"
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)):
        raise ScenarioError(f"what runs in a universe is {wanted}, not {main!r}")
    try:
        inspect.signature(main).bind(*[None] * arguments)  # type: ignore[arg-type]
    except TypeError as error:
        raise ScenarioError(f"what runs in a universe is {wanted}, not {main!r}: {error}") from None


def run(main: Callable[[], Coroutine[Any, Any, T]], seed: int = 0, faults: Any = None) -> T:
    """Run `main()` in a universe of its own; return what it returns.

    main: an async function without arguments. seed: any integer; the same seed is the same run.
    faults: what may go wrong: None (nothing), "all", names of `faults.KINDS`, probabilities by name, or a `Faults`.
    Raises what `main` raises; StuckError when nothing can ever happen any more; HangError when a month of virtual time
    is over; NestedUniverseError inside a universe; ScenarioError for arguments of a wrong kind.
    """
    universe: Universe[T] = Universe(seed, faults)
    return universe.run(main)


def attempt(
    main: Callable[[], Coroutine[Any, Any, T]],
    seed: int = 0,
    faults: Any = None,
    *,
    overrides: Mapping[tuple[str, int], int] | None = None,
    drawn: bool = True,
    history: bool = False,
    limit: float = 30 * DAY,
    allow: Iterable[str] = (),
) -> Result[T]:
    """Run `main()` in a universe of its own and tell how it went. The arguments are those of `Universe`."""
    universe: Universe[T] = Universe(
        seed, faults, overrides=overrides, drawn=drawn, history=history, limit=limit, allow=allow
    )
    return universe.attempt(main)
