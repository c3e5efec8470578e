"""The `fate` command: its entry point and the table of its commands.

Each command is one file in this package with a click command named `command` in it; to add one, add the file and
a line to `COMMANDS`. A command's file is imported only when that command, or a help page that lists it, is asked
for; it imports anything heavy inside its functions.

`fate run` has a way of its own, past click: importing click takes three times as long as starting Python, and
`run` leaves nearly all of its command line to Python anyway.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from fate.errors import FateError

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "run": "fate.cli.run",
    "explore": "fate.cli.explore",
    "replay": "fate.cli.replay",
    "doctor": "fate.cli.doctor",
    "bench": "fate.cli.bench",
}
"""The commands' names and the modules that hold them, in the order the help shows them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the `fate` command.

    arguments: the words after `fate`; those of this process when None.
    Returns the exit code 2 when Fate cannot do what it is asked for; the reason is then on standard error.
    Raises SystemExit with the exit code otherwise, as click does. `fate run` does not come back when it starts a
    program: this process becomes that program.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["run"]:
            # A Ctrl-C before the program is there has nobody to report to; the program's Python sets it up anew.
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
            from fate.cli.run import start

            start(words[1:])
        from fate.cli.group import group

        group.main(words, prog_name="fate")
        return 0
    except FateError as error:
        print(f"fate: {error}", file=sys.stderr)
        return 2
