"""How Sphinx builds these pages. The reference is drawn from the docstrings of the plain sources."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]


class PlainSources:
    """Imports fate from the checkout's `.py` files, compiled or not: only those have signatures to show."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name.partition(".")[0] != "fate":
            return None
        home = ROOT.joinpath("src", *name.split(".")[:-1])
        return FileFinder(str(home), (SourceFileLoader, [".py"])).find_spec(name)


sys.meta_path.insert(0, PlainSources())  # type: ignore[arg-type]

import fate  # noqa: E402
from fate.cli.group import group  # noqa: E402

project = "Fate"
author = "the Fate authors"
copyright = "2026, the Fate authors"
release = version = fate.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
default_role = "literal"  # the docstrings write `name` for code
highlight_language = "python"
html_theme = "furo"
html_title = f"Fate {release}"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
toc_object_entries_show_parents = "hide"

ITEM = re.compile(r"(\*{0,2}[a-z_]+(?:, [a-z_]+)*): (.*)")


def to_rst(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn a docstring as Fate writes it into reStructuredText: `name: what it is` becomes a list of arguments, an
    indented block a literal one."""
    paragraphs = [paragraph.split("\n") for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip("\n"))]
    lines[:] = []
    for paragraph in paragraphs:
        if all(line.startswith("    ") for line in paragraph):
            lines += [".. code-block:: text", "", *paragraph, ""]
            continue
        inside = False
        for line in paragraph:
            item = ITEM.match(line)
            if item:
                lines += ["", f"- `{item[1]}`: {item[2]}"]
            elif inside and line.startswith(" "):
                lines.append(f"  {line.strip()}")
            else:
                lines += [""] if inside else []
                lines.append(line)
            inside = bool(item) or (inside and line.startswith(" "))
        lines.append("")


def show_help(app: Any, document: str, source: list[str]) -> None:
    """Put the real help page under each line `$ fate ... --help`."""

    def page(line: re.Match[str]) -> str:
        words = line[1].split()
        command, context = group, group.make_context("fate", [], resilient_parsing=True)
        if words:
            command = group.get_command(context, words[0])  # type: ignore[assignment]
            context = command.make_context(words[0], [], parent=context, resilient_parsing=True)
        context.max_content_width = 90
        return f"{line[0]}\n{command.get_help(context)}"

    source[0] = re.sub(r"^\$ fate(.*) --help$", page, source[0], flags=re.MULTILINE)


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", to_rst)
    app.connect("source-read", show_help)
