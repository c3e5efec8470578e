"""`fate run`: runs any Python program with Fate under its asyncio and no change to the program.

The command line is read here as far as its end of options, and then handed to Python as it is: this process turns
into `python [options] program [arguments]` on the stage (see `fate.cli.stage`). So whatever a program can see of the
Python it runs in is what it would see without Fate, because it is the same Python doing the same thing.

Only `os`, `sys` and the like may be imported at the top, not even typing: all that happens here comes on top of the
program's own start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from itertools import chain

from fate.errors import ProgramError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    import click

__all__ = ["split", "start"]

FLAGS = frozenset("bBdiOPqRsuvx")
"""Python's options without a value."""

VALUED = frozenset("WX")
"""Python's options with a value, in the same word or the next."""

BLINDING = {
    "I": "isolates Python from its environment",
    "E": "makes Python ignore its environment variables",
    "S": "keeps Python from importing site",
}
"""Python's options under which it does not see the stage, and why."""

NEEDS = {"-m": "the name of a module", "-c": "code"}
"""What has to follow those options that say what the program is."""

CHECK = "--check"
"""The option of `fate run`'s own."""

LAUNCHER_ONLY = frozenset("IESPs")
"""Options that isolate the `fate` script (some systems write them into its first line) and mean no program."""


Option = tuple[str, ...]
"""An option of Python's: the letter with its dash, and its value as a second word where it has one."""


def split(line: Sequence[str]) -> tuple[list[Option], list[str]]:
    """Splits a Python command line in front of the program, as Python does.

    line: the words after `python`.
    Returns the options and the rest: `-m` or `-c` with what they take, or a file, and then the program's own
    arguments. The rest is empty where no program is named.
    Raises ProgramError for an option that Python does not have.
    """
    options: list[Option] = []
    words = list(line)
    while words and words[0].startswith("-") and words[0] not in ("-", "--"):
        word = words.pop(0)
        if word == CHECK:
            options.append((word,))
            continue
        if word == "--check-hash-based-pycs":
            options.append((word, _value(word, words)))
            continue
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            if letter in "mc":
                return options, [f"-{letter}", letters or _value(f"-{letter}", words), *words]
            if letter in VALUED:
                options.append((f"-{letter}", letters or _value(f"-{letter}", words)))
                break
            if letter not in FLAGS and letter not in BLINDING:
                raise ProgramError(
                    f"there is no option {word} to put before the program. Options of the program itself go behind"
                    " its name; see `fate run --help`."
                )
            options.append((f"-{letter}",))
    return options, words


def _value(option: str, words: list[str]) -> str:
    """Takes the value of `option` off the words behind it."""
    if not words:
        raise ProgramError(f"{option} needs {NEEDS.get(option, 'a value')} after it.")
    return words.pop(0)


def _launcher_options() -> list[Option]:
    """Returns the options that this Python itself was given and that the program's shall have too."""
    options, program = split(sys.orig_argv[1:])
    if program[:1] == ["-m"]:
        return options
    return [option for option in options if option[0][1:] not in LAUNCHER_ONLY]


def start(line: Sequence[str]) -> None:
    """Turns this process into the program that `line` asks for.

    line: the words after `fate run`.
    Comes back only if the help page is asked for.
    Raises ProgramError where no program is named, an option is unknown or keeps Python from seeing the stage, or
    Python cannot be started.
    """
    if line[:1] in (["--help"], ["-h"]):
        return
    options, program = split(line)
    inherited = _launcher_options()
    if program in ([], ["--"]):
        raise ProgramError("which program? `fate run program.py` or `fate run -m module`; see `fate run --help`.")
    for option, *_ in inherited + options:
        if effect := BLINDING.get(option[1:]):
            raise ProgramError(f"{option} {effect}, which is how Fate comes to a program. Leave {option} out.")
    words = list(line)
    check = (CHECK,) in options
    if check:
        words.remove(CHECK)
    folder = os.curdir
    if program[0] not in ("-m", "-c", "-"):
        file = 1 if program[0] == "--" else 0
        words[len(words) - len(program) + file] = found = find(program[file])
        folder = os.path.dirname(found)
    _warn_of_a_namesake(folder)
    _become([sys.executable, *chain.from_iterable(inherited), *words], check)


def find(word: str) -> str:
    """Says which file a word means that names a program: that file, or else the command of that name, `uvicorn` say.

    word: what stands where `python` has a file.
    Returns the word, where it is a file or nothing is known of it, for Python to say so; else the command's script.
    Raises ProgramError for a command of another Python's, and for what is a module.
    """
    if os.path.exists(word) or os.sep in word or word.endswith(".py"):
        return word
    from fate.cli.commands import belongs_here, is_module, script_of

    script = script_of(word)
    if script is not None:
        if belongs_here(script):
            return script
        raise ProgramError(
            f"{script} runs in another Python than the one that Fate is installed in, {sys.executable}. Install one of"
            f" the two beside the other, and then: fate run {word} ..."
        )
    if is_module(word):
        raise ProgramError(f"there is no file {word!r} here, but there is a module: fate run -m {word} ...")
    return word


def _warn_of_a_namesake(folder: str) -> None:
    """Has a word for who named a file in the program's folder after this package."""
    path = os.path.join(folder, "fate.py")
    if os.path.exists(path):
        print(
            f"fate: {path} has the name of this package: here `import fate` gives the package, under plain python that"
            " file. Rename it.",
            file=sys.stderr,
        )


def _become(words: list[str], check: bool) -> NoReturn:
    from fate.cli.stage import environment

    if not sys.executable:
        raise ProgramError("this Python does not know where its own executable is, so it cannot start another.")
    try:
        if check:
            from fate.cli.check import run_checked

            raise SystemExit(run_checked(words, environment(os.environ)))
        os.execve(sys.executable, words, environment(os.environ))
    except OSError as error:
        raise ProgramError(f"cannot start {sys.executable}: {error.strerror}.") from error


def _command() -> click.Command:
    import click

    @click.command(
        "run",
        options_metavar="[PYTHON OPTIONS]",
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )
    @click.argument("line", metavar="PROGRAM [ARGUMENTS]...", nargs=-1, type=click.UNPROCESSED)
    def command(line: tuple[str, ...]) -> None:
        """Run a program with Fate under its asyncio.

        PROGRAM is what python takes: a file, a directory or zip file with a __main__.py in it, -m MODULE, -c CODE,
        or - for standard input; or a command that is installed beside Fate, such as uvicorn. It needs no change:
        asyncio.run, new_event_loop, SelectorEventLoop and the whole of uvloop make Fates. Everything else, exit code,
        traceback and Ctrl-C, is as with python.

        \b
          fate run server.py --port 8080
          fate run -m uvicorn app:app
          fate run -X dev -W error -m pytest tests
          fate run --check worker.py

        Options before PROGRAM are python's; those behind it belong to the program. Python processes that the
        program starts run on Fate too. With --check it says at the end whether a Fate was made; if none was, the exit
        code is 3.
        """
        start(line)

    return command


def __getattr__(name: str) -> object:
    """Makes the click command when it is asked for: running a program does without click."""
    if name == "command":
        return globals().setdefault(name, _command())
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
