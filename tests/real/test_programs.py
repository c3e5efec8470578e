"""Klein and treq, Conch's SSH, Twisted beside aiohttp, and `twist web` do on Fate what they do without."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from urllib.request import urlopen

import pytest
from cli.conftest import FATE, PYTHON, Outcome, Workshop

from .conftest import PROGRAMS, STANDS_ON, WAYS, said

EXPECTED = {
    "klein_and_treq.py": ["JSON: 200 {'sum': 42}", "stream: 200 140000 True", "closed: ConnectionRefusedError"],
    "ssh.py": ["command: b'hello\\n' 7", "much: 1000000 ConnectionDone", "wrong password: AuthenticationFailed"],
    "both_kinds.py": ["(502, 'aiohttp of TimeoutError')"],
}
"""Some of what they print; the rest is what plain Python prints."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_program_does_what_it_does_without_fate(
    workshop: Workshop, plainly: Callable[[str], Outcome], name: str, way: str
) -> None:
    plain = plainly(name)
    assert plain.code == 0
    assert set(EXPECTED[name]) <= set(plain.out.splitlines())
    done = workshop.execute([*WAYS[way], str(PROGRAMS / name)])
    assert done.out.splitlines()[:1] == [STANDS_ON[way]]
    assert said(done) == said(plain)


TWIST = [*PYTHON, "-m", "twisted", "--reactor=fate", "web"]
TWISTD = [*PYTHON, "-c", "from twisted.scripts.twistd import run; run()", "--reactor=fate", "-n", "web"]
PLAIN_UNDER_FATE_RUN = [*FATE, "run", "-m", "twisted", "web"]


@pytest.mark.parametrize("command", [TWIST, TWISTD, PLAIN_UNDER_FATE_RUN], ids=["twist", "twistd", "fate run"])
def test_the_web_server_of_twist_serves_files_and_ends_well(workshop: Workshop, command: list[str]) -> None:
    workshop.write("site/page.txt", "a page\n" * 50000)
    with workshop.started(*command, "--listen", "tcp:0:interface=127.0.0.1", "--path", "site") as server:
        ports = re.findall(r"starting on (\d+)", server.line(holding="Site starting on"))
        for _ in range(3):
            with urlopen(f"http://127.0.0.1:{ports[0]}/page.txt", timeout=20) as page:
                assert page.read() == b"a page\n" * 50000
        end = server.end(signal.SIGTERM)
        assert (end.code, end.err) == (-signal.SIGTERM, "")  # Twisted's way: once it is down, it repeats the signal
        assert "Main loop terminated" in end.out
