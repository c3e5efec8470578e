"""What Fate does, in ten seconds: the Mad Hatter, the gunpowder plot, a crowded tavern, and a race that is found.

    python examples/demo.py            # or: make demo
    python examples/demo.py --people 500

The exit code is 0 if all went as it should. The programs are those beside this file; read them next.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import fate

HERE = Path(__file__).parent
REGULARS = ("Alice", "Hatter", "MarchHare", "Dormouse", "BenEills")
SAYINGS = (  # everyone in the tavern says all of them
    "No room! No room!",
    "Have some wine.",
    "Why is a raven like a writing-desk?",
    "Twinkle, twinkle, little bat!",
    "It is always tea-time.",
)
LAST_EVENTS = 8  # of the replay are shown
PATIENCE = 15  # seconds for the tavern, before we call it broken

COLOURED = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
BOLD, DIM, RED, GREEN = "1", "2", "31", "32"


def colour(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if COLOURED else text


def say(text: str = "") -> None:
    print(text, flush=True)


def title(number: int, name: str, what: str, file: str) -> None:
    say(f"{colour(f'{number}. {name}', BOLD)}  {colour(f'examples/{file}', DIM)}")
    say(f"   {what}")


def verdict(well: bool, text: str) -> bool:
    say(f"   {colour('well', GREEN) if well else colour('NOT WELL', RED)}: {text}")
    say()
    return well


def show(seconds: float, text: str) -> None:
    say(f"   {colour(f'{seconds:5.2f} s', DIM)}  {text}")


def play(file: str) -> tuple[int, list[tuple[float, str]]]:
    """Run an example and show what it prints, and when; returns its exit code and the lines with their seconds."""
    began = time.perf_counter()
    lines = []
    command = [sys.executable, "-u", str(HERE / file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        for line in program.stdout:
            lines.append((time.perf_counter() - began, line.rstrip()))
            show(lines[-1][0], colour(lines[-1][1], RED) if "oom!" in line.lower() else lines[-1][1])
    show(time.perf_counter() - began, colour("the program ends", DIM))
    return program.returncode, lines


def processor_time() -> float:
    """Seconds that the processor has worked for the programs played so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def mad_hatter() -> bool:
    title(1, "The Mad Hatter", "lights a firecracker and hands it to Ben while the fuse burns.", "mad_hatter.py")
    began, busy = time.perf_counter(), processor_time()
    code, lines = play("mad_hatter.py")
    took, busy = time.perf_counter() - began, processor_time() - busy
    well = code == 0 and [text for _, text in lines] == ["BOOM! Firecracker exploded in the unlucky hands of Ben Eills"]
    return verdict(well, f"of {took:.1f} s the processor worked for {busy:.2f} s; Fate sleeps while a fuse burns")


def gunpowder_plot() -> bool:
    title(2, "The gunpowder plot", "Eight fuses in a chain, 2.4 s in all; each lights the next.", "gunpowder_plot.py")
    code, lines = play("gunpowder_plot.py")
    well = code == 0 and len(lines) == 9 and "Boom!" in lines[-1][1]
    return verdict(well and lines[-1][0] >= 2.4, "no fuse burned too early; the barrel had to wait for all of them")


async def guest(name: str, port: int, people: int, gathered: asyncio.Barrier) -> tuple[float, float, list[str]]:
    """Somebody in the tavern: says their lines, hears everyone's; returns from when to when, and what was heard."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{name}\n".encode())
    while await reader.readline() != f"* {name} comes in\n".encode():
        pass
    await gathered.wait()
    began = time.perf_counter()
    writer.write("".join(f"{saying}\n" for saying in SAYINGS).encode())
    heard: list[str] = []
    while len(heard) < people * len(SAYINGS):
        line = await reader.readline()
        if not line:
            raise ConnectionError(f"{name} was cut off after {len(heard)} lines")
        if not line.startswith(b"*"):
            heard.append(line.decode())
    ended = time.perf_counter()
    await gathered.wait()
    writer.close()
    return began, ended, heard


async def evening(people: int) -> tuple[float, list[str], bool]:
    """Open the tavern and fill it.

    Returns the seconds the talk took, what the first guest heard, and whether all heard all in one order.
    """
    names = [REGULARS[i] if i < len(REGULARS) else f"guest{i}" for i in range(people)]
    tavern = await asyncio.create_subprocess_exec(
        sys.executable, "-u", str(HERE / "chat.py"), "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert tavern.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            opened = await tavern.stdout.readline()
            if b"open at" not in opened:
                raise ConnectionError(f"the chat server does not start; its exit code is {await tavern.wait()}")
            port = int(opened.rpartition(b":")[2])
            gathered = asyncio.Barrier(people)
            guests = await asyncio.gather(*(guest(name, port, people, gathered) for name in names))
            tavern.send_signal(signal.SIGINT)
            code = await tavern.wait()
    finally:
        if tavern.returncode is None:
            tavern.kill()
            await tavern.wait()
    took = max(ended for _, ended, _ in guests) - min(began for began, _, _ in guests)
    heard = guests[0][2]
    said = sorted(f"{name}: {saying}\n" for name in names for saying in SAYINGS)
    return took, heard, code == 0 and sorted(heard) == said and all(lines == heard for _, _, lines in guests)


def tavern(people: int) -> bool:
    title(3, "The tavern", f"A chat server, and {people} people who all talk at once.", "chat.py")
    try:
        took, heard, well = fate.run(evening(people))
    except OSError as error:  # TimeoutError and ConnectionError are among them
        return verdict(False, f"{type(error).__name__}: {error}")
    sample = [line.rstrip() for line in heard if line.startswith(REGULARS)][:: len(SAYINGS) + 1]
    say("\n".join(f"   {line}" for line in [*sample, f"... and {len(heard) - len(sample):,} lines more"]))
    say(f"   {people} people, {len(heard):,} lines said, {people * len(heard):,} delivered in {took:.2f} s")
    return verdict(well, "everyone heard every line, all in the same order; Ctrl-C closed the tavern")


def fate_command(folder: str, *words: str) -> tuple[int, list[str]]:
    """Run a command of Fate's in `folder`; returns its exit code and the lines that it prints."""
    shown = " ".join(word.removeprefix(f"{HERE}{os.sep}") for word in words)
    say(f"   {colour(f'fate {shown}', BOLD)}")
    done = subprocess.run([sys.executable, "-m", "fate", *words], cwd=folder, capture_output=True, text=True)
    return done.returncode, [line.replace(f"{HERE}{os.sep}", "") for line in done.stdout.splitlines()]


def lost_update() -> bool:
    program = HERE / "universe" / "lost_update.py"
    title(
        4, "The lost update", "A race between two clients of a store: they come 50 ms apart.", "universe/lost_update.py"
    )
    with tempfile.TemporaryDirectory() as folder:
        found, report = fate_command(folder, "explore", f"{program}::main")
        say("\n".join(f"   {line}" for line in report))
        name = next((words[1].split()[0] for line in report if len(words := line.split("fate replay ")) > 1), "")
        replayed, story = fate_command(folder, "replay", name, f"{program}::main")
        say(
            "\n".join(
                f"   {line}"
                for line in [f"... {max(0, len(story) - LAST_EVENTS)} lines, and then", *story[-LAST_EVENTS:]]
            )
        )
        fixed, _ = fate_command(folder, "explore", f"{program}::fixed", "--seeds", "50")
    well = (found, replayed, fixed) == (1, 1, 0) and any("lost_update.py" in line and "fails" in line for line in story)
    return verdict(
        well, "found in a universe, shrunk to the one fault it takes, and replayed; the program put right has none"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="What Fate does, in ten seconds.")
    parser.add_argument("--people", type=int, default=200, help="in the tavern (200)")
    people: int = parser.parse_args().people
    how = "compiled" if fate.compiled else "not compiled"
    say(f"Fate {fate.__version__}, {how}, on Python {sys.version.split()[0]}. The times are seconds since each start.")
    say()
    well = all([mad_hatter(), gunpowder_plot(), tavern(people), lost_update()])
    if well:
        say(f"{colour('All went well.', GREEN)} Next: the programs in examples/, and docs/tutorial/index.md.")
    else:
        say(colour("Something went wrong, see above.", RED))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
