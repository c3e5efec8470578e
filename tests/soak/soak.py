"""A server on Fate under everything that happens to servers, for as long as it takes: ``make soak``.

    python tests/soak/soak.py [--seconds 600] [--connections 10000] [--seed N] [--loop MODULE:ATTR] [--json FILE]

One process serves (``server.py``), one storms it (``clients.py``): thousands of connections held; storms of connects,
resets and half-closes; slow readers and peers that never read; descriptors that run out and come back; signals, threads
and forks during load; exceptions in every callback. A short first round brings along what a first time brings along.
After the second, and when every connection has gone, the process must hold what it held before: descriptors, objects,
memory. Exit code 0: nothing lost, nothing leaked, no crash.
"""

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FOREWORD = 0.2, 3.0, 20.0
"""The share of the time that the first round takes, and its bounds in seconds."""

SPARE_DESCRIPTORS = 600
HIGH_WATER, CHUNK = 1 << 16, 1 << 16
MORE_OBJECTS = 200
"""Of one type, that may be left over: caches, freelists and handles kept for new ones."""

MORE_MEMORY = 16 << 20
END_SECONDS = 120.0


class Trouble(Exception):
    """One of the two processes has died or hangs."""


def connections_allowed(wanted: int) -> int:
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS)


def start_server(loop: str, seed: int, patience: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(HERE / "server.py")]  # it forks beside threads
    command += [f"--loop={loop}", f"--seed={seed}", f"--patience={patience}"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        raise Trouble(f"the server died: status {server.wait()}")
    found: dict[str, Any] = json.loads(line)
    return found


def storm(addresses: dict[str, Any], seconds: float, connections: int, seed: int) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "clients.py"), f"--addresses={json.dumps(addresses)}"]
    command += [f"--seconds={seconds}", f"--connections={connections}", f"--seed={seed}"]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=seconds + END_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Trouble("the clients do not come to an end: a connection hangs") from error
    if done.returncode:
        raise Trouble(f"the clients died: status {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def count(server: subprocess.Popen[str]) -> dict[str, Any]:
    assert server.stdin is not None
    server.stdin.write("count\n")
    server.stdin.flush()
    return answer(server)


def complaints(before: dict[str, Any], after: dict[str, Any], clients: dict[str, Any]) -> list[str]:
    """What is wrong with a round: ``before`` and ``after`` are the server's counts around it."""
    counts = after["counts"]
    wrong = [f"client: {words}" for words in clients["failures"]]
    wrong += [f"reported by the loop: {words}" for words in after["unexpected"]]
    for one, other in (("made", "lost"), ("raised", "reported"), ("calls made", "calls run")):
        if counts.get(one) != counts.get(other):
            wrong.append(f"{one}: {counts.get(one)}, but {other}: {counts.get(other)}")
    if counts["most buffered"] > HIGH_WATER + CHUNK:
        wrong.append(f"{counts['most buffered']:,} bytes were buffered for a peer that does not read")
    wrong += [f"no {name} happened" for name in ("signals", "children", "forks", "raised") if not counts.get(name)]
    if after["descriptors"] > before["descriptors"]:
        wrong.append(f"descriptors: {before['descriptors']} before, {after['descriptors']} after")
    if after["memory"] > before["memory"] + MORE_MEMORY:
        wrong.append(f"memory: {before['memory']:,} bytes before, {after['memory']:,} after")
    for kind, number in after["objects"].items():
        more = number - before["objects"].get(kind, 0)
        if more > MORE_OBJECTS:
            wrong.append(f"objects: {more} more of {kind}")
    return wrong


def lines(after: dict[str, Any], before: dict[str, Any], clients: dict[str, Any], seconds: float) -> list[str]:
    """The report."""
    asked, served = clients["counts"], after["counts"]
    return [
        f"{seconds:g} s: {asked['held']:,} connections held, {asked['connections']:,} made; "
        f"{asked['messages']:,} messages, {asked['bytes'] / 1e6:,.0f} MB compared",
        f"ended: {asked.get('close', 0):,} closed, {asked.get('half_close', 0):,} half-closed, "
        f"{asked.get('reset', 0):,} reset; {asked.get('never_read', 0):,} never read from, "
        f"{served['most buffered']:,} bytes buffered at most",
        f"{served['raised']:,} exceptions raised, {served['reported']:,} reported; {served['signals']:,} signals, "
        f"{served['forks']:,} forks, {served['children']:,} children, {served['calls run']:,} calls from threads",
        f"descriptors scarce {served.get('times of scarcity', 0)} times, "
        f"{served.get('refused for want of descriptors', 0)} accepts put off",
        f"left over: {after['descriptors'] - before['descriptors']} descriptors, "
        f"{(after['memory'] - before['memory']) / 1e6:.1f} MB",
    ]


def soak(loop: str, seconds: float, connections: int, seed: int, patience: float) -> tuple[list[str], list[str]]:
    """The report, and what is wrong."""
    share, least, most = FOREWORD
    first = min(max(share * seconds, least), most)
    with start_server(loop, seed, patience) as server:
        try:
            addresses = answer(server)
            first_clients = storm(addresses, first, connections, seed)
            before = count(server)
            clients = storm(addresses, seconds - first, connections, seed + 1)
            after = count(server)
            assert server.stdin is not None
            server.stdin.close()
            status = server.wait(END_SECONDS)
        except (Trouble, subprocess.TimeoutExpired) as error:
            server.kill()
            return [], [str(error)]
    wrong = [f"client: {words}" for words in first_clients["failures"]] + complaints(before, after, clients)
    if status:
        wrong.append(f"the server ended with status {status}")
    return lines(after, before, clients, seconds - first), wrong


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak a server on Fate.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loop", default="fate:new_event_loop", metavar="MODULE:ATTR")
    parser.add_argument("--patience", type=float, default=10.0, metavar="SECONDS", help="for the last to go")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    connections = connections_allowed(options.connections)
    if connections < options.connections:
        print(f"{connections:,} connections instead of {options.connections:,}: no more descriptors are allowed")
    report, wrong = soak(options.loop, options.seconds, connections, options.seed, options.patience)
    print(f"soak of {options.loop}, seed {options.seed}", *report, sep="\n")
    for words in wrong:
        print(f"WRONG: {words}")
    print("something is wrong" if wrong else "nothing lost, nothing leaked, no crash")
    if options.json:
        options.json.write_text(json.dumps({"report": report, "wrong": wrong}, indent=1))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
