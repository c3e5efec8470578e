"""The `fate` command as click sees it: the help pages, `--version`, and how a command's file is found.

No command lives here; they are listed in `fate.cli.COMMANDS`.
"""

from __future__ import annotations

from importlib import import_module
from typing import cast

import click

from fate.cli import COMMANDS

__all__ = ["group", "version"]


class LazyGroup(click.Group):
    """A click group that imports a command's file when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names the commands, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Returns the command of that name, None where there is none."""
        module = COMMANDS.get(cmd_name)
        return cast(click.Command, import_module(module).command) if module else None


def version() -> str:
    """Returns Fate's version, "unknown" for sources that were never installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of("fate-loop")
    except PackageNotFoundError:
        import fate

        return str(getattr(fate, "__version__", "unknown"))


def _show_version(ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        import platform

        click.echo(f"fate {version()}, {platform.python_implementation()} {platform.python_version()}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-V", "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def group() -> None:
    """Fate runs event programs.

    \b
      fate run server.py       runs a program with Fate under its asyncio
      fate explore bank.py::main   finds a run of a program that fails
      fate replay 1a2b3c4d     shows such a run again
      fate doctor              tells whether Fate is well on this machine
      fate bench               measures Fate beside asyncio and other loops

    Ask any command for more with --help.
    """
