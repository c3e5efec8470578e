"""`fate run --check`: whether a Fate was made by the program, or by any Python process that it started.

Each of them appends a line to a file for every Fate that it makes (`stage/fate_stage.py`). Unlike without `--check`,
the program is a child of this process, which waits for it and passes signals on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

__all__ = ["NO_FATE", "run_checked"]

NO_FATE = 3
"""The exit code when no Fate was made."""

PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def run_checked(words: Sequence[str], environment: dict[str, str]) -> int:
    """Runs a command line and says on standard error whether a Fate was made.

    words: the command line. environment: the one in which Python processes stand on Fate.
    Returns the program's exit code, NO_FATE if no Fate was made. Does not return if a signal killed the program: this
    process ends by it too.
    """
    with tempfile.NamedTemporaryFile(prefix="fate-check-") as notes:
        with subprocess.Popen(words, env=environment | {"FATE_CHECK": notes.name}) as process:

            def pass_on(number: int, _frame: object) -> None:
                if number != signal.SIGINT or not _in_front():
                    process.send_signal(number)

            for number in PASSED_ON:
                signal.signal(number, pass_on)
            code = process.wait()
        makers = notes.read().split()
    if makers:
        fates, processes = len(makers), len(set(makers))
        print(
            f"fate: {fates} Fate{'s' * (fates > 1)} made, in {processes} process{'es' * (processes > 1)}",
            file=sys.stderr,
        )
    else:
        print("fate: no Fate was made: no asyncio loop was, or only of classes of the program's own", file=sys.stderr)
    if code < 0:
        sys.stderr.flush()
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code if makers else NO_FATE


def _in_front() -> bool:
    """Says whether a terminal sends its Ctrl-C to this process, and so to the program as well."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
