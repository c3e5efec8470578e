"""Ctrl-C does to a program under `fate run` what it does to it under `python`."""

from __future__ import annotations

import signal

import pytest

from .conftest import FATE, PYTHON, Outcome, Workshop

# Where a program says that it is ready and then waits, both are on one line, so that the traceback names that line
# whether the signal comes before or after the wait has begun.
UNHANDLED = {
    "a program without a loop": """
        import signal
        print("ready", flush=True); signal.pause()
    """,
    "asyncio.run": """
        import asyncio
        async def main():
            try:
                print("ready", flush=True); await asyncio.Event().wait()
            finally:
                print("cleaned up")
        asyncio.run(main())
    """,
    "run_forever": """
        import asyncio, functools
        loop = asyncio.new_event_loop()
        loop.call_soon(functools.partial(print, "ready", flush=True))
        loop.run_forever()
    """,
}

HANDLED = {
    "around a wait": """
        import signal
        try:
            print("ready", flush=True); signal.pause()
        except KeyboardInterrupt:
            print("handled")
            raise SystemExit(5)
    """,
    "around asyncio.run": """
        import asyncio
        async def main():
            print("ready", flush=True); await asyncio.Event().wait()
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("handled")
    """,
    "in the loop": """
        import asyncio, signal
        async def main():
            over = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
            print("ready", flush=True); await over.wait()
            print("handled")
        asyncio.run(main())
    """,
    "by a handler": """
        import signal, sys
        signal.signal(signal.SIGINT, lambda number, frame: sys.exit(6))
        print("ready", flush=True); signal.pause()
    """,
}


def _interrupted(workshop: Workshop, words: list[str]) -> Outcome:
    with workshop.started(*words, "program.py") as program:
        program.line(holding="ready")
        return program.end(signal.SIGINT)


@pytest.mark.parametrize("kind", UNHANDLED)
def test_ctrl_c_ends_a_program_as_under_python(workshop: Workshop, kind: str) -> None:
    workshop.write("program.py", UNHANDLED[kind])
    plain, staged = _interrupted(workshop, PYTHON), _interrupted(workshop, [*FATE, "run"])
    assert staged.code == -signal.SIGINT
    assert staged.code == plain.code
    assert staged.out == plain.out
    assert workshop.seen(staged.err) == workshop.seen(plain.err)
    assert staged.err.splitlines()[-1] == "KeyboardInterrupt"


@pytest.mark.parametrize("kind", HANDLED)
def test_ctrl_c_is_the_programs_to_handle(workshop: Workshop, kind: str) -> None:
    workshop.write("program.py", HANDLED[kind])
    plain, staged = _interrupted(workshop, PYTHON), _interrupted(workshop, [*FATE, "run"])
    assert staged == plain
    assert staged.err == ""


def test_other_signals_end_a_program_as_under_python(workshop: Workshop) -> None:
    workshop.write("program.py", UNHANDLED["asyncio.run"])
    with workshop.started(*FATE, "run", "program.py") as program:
        program.line(holding="ready")
        assert program.end(signal.SIGTERM) == Outcome(-signal.SIGTERM, "", "")
