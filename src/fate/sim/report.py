"""A failure in words: at most 15 lines that say what failed, where, what it takes, and how to see it again.

Also a history in words, an event a line, and the first event in which two histories differ.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from fate.sim.decisions import Decision
from fate.sim.faults import RELAXED, describe
from fate.sim.keep import Kept
from fate.sim.trial import Outcome

MOST_LINES = 15
MOST_FAULTS = 6
MOST_SHOWN = 4000  # lines of a history
WIDTH = 160


PHASES = {
    "kept": "kept from before",
    "no faults": "without faults",
    "one fault": "one fault at a time",
    "seed": "with faults at random",
}
"""How a trial came about, in words."""


def report(kept: Kept, runs: int, replay: str, found: Outcome | None = None) -> str:
    """What a person reads of a failure that was found and shrunk.

    runs: how many it took to find it. replay: the line that replays it. found: the run as it was found; None: not
    known.
    """
    out_of = None if found is None else len(found.faults())
    phase = "" if found is None else f", {PHASES[found.trial.origin]}"
    trouble = kept.trouble
    first, *more = trouble.message.splitlines() or [""]
    lines = [f"{kept.program} failed: {_short(first)}"]
    lines += [f"  {_short(line.strip())}" for line in more[:3]]
    where = f"at {trouble.where}, " if trouble.where else ""
    host = "" if trouble.host == "main" else f"on host {trouble.host}, "
    lines.append(f"  {where}{host}{trouble.when / 1e9:.9g} s after the beginning ({KINDS[trouble.kind]})")
    lines += faults_in_words(kept.faults, out_of)
    if kept.stood and kept.faults:
        lines.append(f"  meanwhile: {_short('; '.join(kept.stood))}")
    if any(fault.label.startswith("clock ") for fault in kept.faults):
        lines.append("  A wall clock that jumps is rare; time.monotonic() never does.")
    if any(fault.label.startswith(RELAXED) for fault in kept.faults):
        lines.append(
            "Found by --relaxed: on asyncio, callbacks run in the order of call_soon, so this cannot happen there."
        )
    which = f" with seed {kept.trial.seed}" if kept.faults or kept.trial.seed else ""
    lines.append(f"Found in {'1 run' if runs == 1 else f'{runs} runs'}{phase}; fails every time{which}.")
    lines.append(f"Replay it: {replay}")
    return "\n".join(lines[:MOST_LINES])


KINDS = {
    "exception": "an exception that nobody caught",
    "promise": "a promise was broken",
    "stuck": "nothing can ever happen any more",
    "hang": "it does not end",
    "report": "an exception reached the loop's handler",
    "leftover": "something was left behind",
}


def faults_in_words(faults: Sequence[Decision], out_of: int | None = None) -> list[str]:
    """The faults that a failure needs, a line each."""
    if not faults:
        return ["It needs no fault."]
    of = f" of {out_of}" if out_of is not None and out_of > len(faults) else ""
    lines = [f"It needs {'this fault' if len(faults) == 1 else f'these {len(faults)} faults'}{of}:"]
    lines += [f"  - {_short(describe(decision))}" for decision in faults[:MOST_FAULTS]]
    if len(faults) > MOST_FAULTS:
        lines.append(f"  - and {len(faults) - MOST_FAULTS} more; the replay shows all")
    return lines


def excused_in_words(excused: Mapping[str, int]) -> str:
    """How many runs ended with errors that are a fault's own, a line; "" if none did."""
    if not excused:
        return ""
    first, *more = sorted(excused.items(), key=lambda each: (-each[1], each[0]))
    words = [f"{first[1]} of them ended with an excused {first[0]}", *(f"{count} with {name}" for name, count in more)]
    return f"  {', '.join(words)}: a fault's own error (--strict has these count too)"


def also(kept: Kept, runs: int, replay: str) -> str:
    """A further failure of the same program, in two lines."""
    trouble = kept.trouble
    where = f" at {trouble.where}" if trouble.where else ""
    needs = "; ".join(describe(fault) for fault in kept.faults[:2]) or "no fault"
    more = f" and {len(kept.faults) - 2} more" if len(kept.faults) > 2 else ""
    message = (trouble.message.splitlines() or [""])[0]
    counted = "1 run" if runs == 1 else f"{runs} runs"
    return f"Also, in {counted}: {_short(message + where)}\n  - {_short(needs + more)}; {replay}"


def unsteady(program: str, found: Outcome) -> str:
    """What a person reads of a failure that did not come a second time."""
    assert found.trouble is not None
    return (
        f"{program} failed once, and not again in the same universe: {_short(found.trouble.message.splitlines()[0])}\n"
        "Something in it is not of the universe: a global that survives a run, a file, an order of plain objects.\n"
        f"It was seed {found.trial.seed} ({found.trial.origin}); --check-determinism shows where runs part."
    )


def history(events: Sequence[tuple[Any, ...]], faults: Sequence[Decision] = ()) -> Iterator[str]:
    """A whole run, an event a line: virtual time, host, task, event, and the number of the callback that caused it."""
    struck = {(event[2], event[3]) for event in events if event[1] == "fault"}
    placed = {fault.key: fault for fault in faults if fault.key in struck}
    left = sorted((fault for fault in faults if fault.key not in struck), key=lambda fault: fault.when)
    yield f"{'seconds':>14}  {'host':10} {'task':18} event"
    for event in events:
        while left and left[0].when < event[0]:
            yield _fault(left.pop(0))
        if event[1] != "fault":
            yield event_in_words(event)
        elif event[2:4] in placed:
            yield _fault(placed[event[2], event[3]])
            for each in event[4:]:
                yield f"{'':14}  {'':10} {'':18}   meanwhile {each}"
    for fault in left:
        yield _fault(fault)


def _fault(fault: Decision) -> str:
    return f"{fault.when / 1e9:14.9f}  {'':10} {'FAULT':18} {describe(fault)}"


def shortened(lines: Iterable[str], most: int | None) -> Iterator[str]:
    """The lines, but of more than `most` only the first half and the last; None: all."""
    if most is None:
        yield from lines
        return
    rest = iter(lines)
    yield from islice(rest, most // 2)
    count, last = 0, deque[str](maxlen=most // 2)
    for count, line in enumerate(rest, 1):  # noqa: B007
        last.append(line)
    if count > len(last):
        yield f"... {count - len(last):,} lines left out; --all shows them"
    yield from last


def event_in_words(event: tuple[Any, ...]) -> str:
    """One event as a line."""
    when, what, *rest = event
    if what == "run":
        host, task, function, stack, number, cause = rest
        where = f" at {stack.rpartition(' > ')[2]}" if stack else ""
        because = f"caused by #{cause}" if cause else "caused by the world outside"
        return f"{when / 1e9:14.9f}  {host:10} {task:18} #{number} {function}{where}, {because}"
    if what == "data":
        return f"{when / 1e9:14.9f}  {'':10} {'':18} {rest[1]} bytes came, {rest[0]}"
    return f"{when / 1e9:14.9f}  {'':10} {'':18} {what} {' '.join(map(str, rest))}"


def first_difference(before: Sequence[str], after: Sequence[str]) -> tuple[int, str, str] | None:
    """Where two histories part: the number of the event from 0, and it in each; None if they are the same."""
    for number, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return number, one, other
    if len(before) == len(after):
        return None
    number = min(len(before), len(after))
    return number, *(events[number] if number < len(events) else "the end" for events in (before, after))  # type: ignore[return-value]


def difference_in_words(first: Sequence[tuple[Any, ...]], second: Sequence[tuple[Any, ...]]) -> list[str]:
    """The first event in which two runs differ, and where each of them stood, line by line; [] if they are the same."""
    parts = first_difference([str(event) for event in first], [str(event) for event in second])
    if parts is None:
        return []
    number = parts[0]
    lines = [f"The first event that differs is number {number + 1}:"]
    for which, events in (("first", first), ("second", second)):
        event = event_in_words(events[number]) if number < len(events) else "the end of the run"
        lines.append(f"  {which} run: {event.strip()}")
        lines += _stack_at(events, number)
    return lines


def _stack_at(events: Sequence[tuple[Any, ...]], number: int) -> list[str]:
    """Where the task stood that event `number` is of, or that has caused it; a line for each of its lines."""
    runs = [(index, event) for index, event in enumerate(events) if event[1] == "run"]
    by_id = {(event[2], event[6]): event for _, event in runs}
    present = next((event for index, event in reversed(runs) if index <= number), None)
    while present is not None and not present[3]:  # a callback that is of no task
        present = by_id.get((present[2], present[7]))
    if present is None:
        return []
    again = next((event for index, event in runs if index >= number and event[2:4] == present[2:4]), present)
    _, _, host, task, function, stack, *_ = again
    where = "" if host == "main" else f" on host {host}"
    return [f"    {task} ({function}){where}", *(f"      at {place}" for place in stack.split(" > ") if place)]


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
