"""A run in which nothing can happen any more says so, once, and Ctrl-C ends it with the program's own frames."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import DEADLINE, VirtualFate, printed

WORDS = "Nothing can happen here any more"

STUCK = {
    "a handler fails before shutdown": (
        """
        def explode():
            print("BOOM!", owner)
            fate.shutdown()
        fate.get_fuse(0).set_handler(explode)
        fate.run()
        """,
        "it only waits for shutdown()",
    ),
    "nobody calls shutdown": ("fate.get_fuse(0).set_handler(print)\nfate.run()", "it only waits for shutdown()"),
    "there is nothing at all": ("fate.run()", "it only waits for shutdown()"),
    "nobody burns a fuse": ("fuse = fate.get_fuse()\nfuse.set_handler(print)\nfate.run()", "1 fuse waits: <Fuse"),
    "a task waits for what nobody sets": (
        """
        async def hang():
            await asyncio.Event().wait()
        tasks = [fate.create_task(hang(), name=f"number {n}") for n in range(5)]
        fate.run()
        """,
        "5 tasks wait: number 0 (hang at program.py:6), number 1 (hang at program.py:6), number 2 (hang",
    ),
    "a coroutine waits for what nobody sets": (
        """
        async def main():
            await asyncio.Event().wait()
        fate.close()
        run(main())
        """,
        "1 task waits: Task-1 (main at program.py:6)",
    ),
}


def program(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "program.py"
    lines = source.splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    start = "import asyncio\nfrom fate import Fate, run\nfate = Fate()\n"
    path.write_text(start + "\n".join(line[indent:] for line in lines) + "\n")
    return path


@pytest.mark.parametrize("kind", STUCK)
def test_a_run_in_which_nothing_can_happen_says_so_once_and_waits(tmp_path: Path, kind: str) -> None:
    source, waits = STUCK[kind]
    with subprocess.Popen([sys.executable, program(tmp_path, source)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            told = next(line for line in process.stderr if line.startswith(WORDS))
            assert waits in told
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=DEADLINE)[1]
        finally:
            process.kill()
    assert WORDS not in rest
    assert "KeyboardInterrupt" in rest.splitlines()


def test_what_can_still_happen_keeps_it_silent() -> None:
    assert (
        printed("""
            import asyncio, os, signal, subprocess, threading
            from fate import Fate
            from fate.stuck import last_words

            fate = Fate()
            assert last_words(fate)

            here, there = os.pipe()
            fate.add_reader(here, print)
            assert not last_words(fate), "a reader"
            fate.remove_reader(here)

            stop = threading.Event()
            thread = threading.Thread(target=stop.wait)
            thread.start()
            assert not last_words(fate), "a thread"
            stop.set()
            thread.join()

            signal.signal(signal.SIGUSR1, lambda *_: fate.shutdown())
            assert not last_words(fate), "a signal"
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
            fate.add_signal_handler(signal.SIGINT, fate.shutdown)
            assert not last_words(fate), "a signal that the loop hears"
            fate.remove_signal_handler(signal.SIGINT)

            with subprocess.Popen("cat", stdin=subprocess.PIPE) as child:
                fuse = fate.get_fuse(process=child)
                assert not last_words(fate), "a child"
                child.stdin.close()
                fuse.set_handler(fate.shutdown)
                fate.run()

            fate.get_packet_fuse(("127.0.0.1", 0)).set_handler(print)
            assert not last_words(fate), "a packet"
            fate.close()
            print("silent")
        """)
        == "silent"
    )


def test_what_a_thread_does_later_is_waited_for_in_silence() -> None:
    assert (
        printed("""
            import threading, time
            from fate import Fate
            fate = Fate()
            threading.Thread(target=lambda: (time.sleep(0.5), fate.shutdown())).start()
            fate.run()
        """)
        == ""
    )


def test_virtual_time_is_not_looked_at(virtual: VirtualFate) -> None:
    virtual.get_fuse(3600).set_handler(virtual.shutdown)
    virtual.run()
    assert virtual.selector.waits.count(None) == 0 and 0.2 not in virtual.selector.waits


@pytest.mark.parametrize("call", ["fate.run()", "fate.run_forever()"])
@pytest.mark.parametrize("busy", [False, True])
def test_ctrl_c_shows_the_programs_frames_and_one_of_the_loops(tmp_path: Path, call: str, busy: bool) -> None:
    source = f"""
        import functools, sys
        ready = functools.partial(print, "ready", file=sys.stderr, flush=True)
        def work():
            ready()
            while True:
                pass
        fate.call_soon(work if {busy} else ready)
        {call}
    """
    with subprocess.Popen([sys.executable, program(tmp_path, source)], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any(line == "ready\n" for line in process.stderr)
            process.send_signal(signal.SIGINT)
            rest = process.communicate(timeout=DEADLINE)[1]
        finally:
            process.kill()
    frames = [line.rpartition(", in ")[2] for line in rest.splitlines() if line.startswith("  File ")]
    assert frames == ["<module>", "run" if call == "fate.run()" else "run_forever", *["work"] * busy]
