"""The programs in README.md and docs/ do what the page says.

A ```python block, and a file that a page includes whole, is a program: it is run as it stands, and what it prints is
the ```text block right after it, where `...` stands for anything. A ```py block is part of a program: it has to
compile. The servers among them have tests of their own, because they do not end by themselves. A ```sh block is a list
of commands: what they name has to be there.
"""

from __future__ import annotations

import ast
import re
import shlex
import signal
import socket
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

import fate
from fate.cli.run import split

from .conftest import DEADLINE, DOCS, PYTHON, ROOT, Program, Start

FENCE = re.compile(r"^```(?P<kind>\S+)(?: (?P<what>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

PAGES = [ROOT / "README.md", *sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)]


@dataclass
class Written:
    """A program on a page: its text, and what the page says it prints (None: nothing is said)."""

    name: str
    source: str
    prints: str | None

    @property
    def serves(self) -> bool:
        return any(word in self.source for word in ("serve_forever", "run_app", "async def app("))


def blocks(page: Path) -> Iterator[re.Match[str]]:
    return FENCE.finditer(page.read_text())


def programs() -> Iterator[Written]:
    for page in PAGES:
        text = page.read_text()
        for block in blocks(page):
            if block["kind"] == "python":
                name = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, block.start()) + 1}"
                source = block["body"]
            elif block["kind"] == "{literalinclude}" and block["what"].endswith(".py") and not block["body"]:
                path = page.parent / block["what"]
                name, source = str(path.relative_to(ROOT)), path.read_text()
            else:
                continue
            after = re.match(r"\s*```text\n(.*?)^```$", text[block.end() :], re.MULTILINE | re.DOTALL)
            yield Written(name, source, after[1] if after else None)


ALL = {program.name: program for program in programs()}
ENDING = {name: program for name, program in ALL.items() if not program.serves}
SERVING = {name.partition(":")[0]: program for name, program in ALL.items() if program.serves}


@pytest.fixture(scope="module")
def started(
    start_early: Start, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Program]:
    """All the programs that this run of the tests wants, side by side: most of their time is waiting."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    wanted = [item.callspec.params["name"] for item in items if "started" in item.fixturenames]
    home = tmp_path_factory.mktemp("documents")
    begun = {}
    for number, name in enumerate(wanted):
        path = home / f"program{number}.py"
        path.write_text(ENDING[name].source)
        begun[name] = start_early(path)
    return begun


@pytest.mark.parametrize("name", ENDING)
def test_it_does_what_the_page_says(name: str, started: dict[str, Program]) -> None:
    outcome = started[name].end()
    assert (outcome.code, outcome.err) == (0, "")
    says = ENDING[name].prints
    assert says is not None, "the page does not say what the program prints"
    assert re.fullmatch(".*".join(re.escape(part) for part in says.split("...")), outcome.out, re.DOTALL), outcome.out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_parts_of_programs_compile(page: Path) -> None:
    for block in blocks(page):
        if block["kind"] == "py":
            compile(block["body"], str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def commands() -> Iterator[tuple[list[str], str | None]]:
    """Each line of the shell blocks, in words, and what the page says it prints."""
    for page in PAGES:
        text = page.read_text()
        for block in blocks(page):
            if block["kind"] == "sh":
                after = re.match(r"\s*```text\n(.*?)^```$", text[block.end() :], re.MULTILINE | re.DOTALL)
                for line in block["body"].splitlines():
                    yield shlex.split(line, comments=True), after[1] if after else None


COMMANDS = [(words, prints) for words, prints in commands() if words]


@pytest.mark.parametrize(("words", "prints"), COMMANDS, ids=[" ".join(words) for words, _ in COMMANDS])
def test_commands_are_there(words: list[str], prints: str | None, start: Start) -> None:
    while "=" in words[0]:  # a variable
        words = words[1:]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    match words:
        case ["fate", "explore", *_]:
            pass  # test_universe.py runs them
        case ["fate", *rest] if prints is not None:
            assert start("-m", "fate", *rest).end().out == prints
        case ["fate", "run", *line]:
            assert split(line)[1] != []
        case ["twistd" | "trial", "--reactor=fate", *_]:
            pass  # tests/tx/test_install.py and tests/real/test_programs.py run them
        case ["make", target]:
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["pip", "install", what]:
            assert what in (".", project["name"])
        case ["uvicorn", *_]:
            pass  # test_uvicorn runs it
        case _:
            raise AssertionError(f"nothing is known of the command {words}")


def test_the_reference_has_every_public_name() -> None:
    pages = "".join(path.read_text() for path in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^ *\.\. (?:auto\w+|data):: (\w+)", pages, re.MULTILINE))
    elsewhere = {"FateError", "defer", "errors", "reactor", "tools"}  # those pages are drawn from the modules
    assert set(fate.__all__) - documented == elsewhere
    assert "automodule:: fate.errors" in pages


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert lost == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def connect(port: int, program: Program) -> socket.socket:
    """A connection, as soon as the program listens."""
    until = time.monotonic() + DEADLINE
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        except ConnectionRefusedError:
            assert program.process.poll() is None, program.end()
            assert time.monotonic() < until
            time.sleep(0.01)


def test_the_echo_server_of_the_readme(start: Start, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "server.py").write_text(SERVING["README.md"].source.replace("8888", str(port)))
    program = start("server.py")
    with connect(port, program) as connection:
        for _ in range(3):
            connection.sendall(b"BOOM!\n")
            assert connection.recv(100) == b"BOOM!\n"
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""  # the server has done with it
    assert program.end(signal.SIGINT).err.rstrip().endswith("KeyboardInterrupt")


def test_the_aiohttp_server(start: Start, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "server.py").write_text(SERVING["docs/howto/aiohttp_server.py"].source.replace("8080", str(port)))
    program = start("server.py", python=PYTHON[:1])  # without -W error: its warnings are not ours
    connect(port, program).close()
    with urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as page:
        assert page.read() == b"Hello from Fate\n"
    assert program.end(signal.SIGINT).code == 0


@pytest.mark.parametrize(
    "command",
    [
        ["-m", "uvicorn", "asgi_app:app", "--loop", "fate:new_event_loop"],
        ["-m", "fate", "run", "-m", "uvicorn", "asgi_app:app"],
    ],
    ids=["uvicorn --loop", "fate run -m uvicorn"],
)
def test_uvicorn(start: Start, tmp_path: Path, command: list[str]) -> None:
    port = free_port()
    (tmp_path / "asgi_app.py").write_text(SERVING["docs/howto/asgi_app.py"].source)
    program = start(*command, "--port", str(port), python=PYTHON[:1])
    connect(port, program).close()
    with urlopen(f"http://127.0.0.1:{port}/", timeout=DEADLINE) as page:
        assert page.read() == b"Hello from Fate\n"
    assert "Application shutdown complete" in program.end(signal.SIGINT).err
