"""``python -m benchmarks.load.wrk``: wrk, speaking as ``echo.c`` does: told when to ask, it tells what that cost.

--turns: a descriptor of a stream socket; wrk runs once for each byte that comes, and its finding goes back as a line.
--pid: the process that serves, whose CPU time is read before and after. The last finding is printed, too.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import time
from pathlib import Path


def cpu_of(process: int) -> int:
    """Nanoseconds of CPU of a process's threads, as the kernel's scheduler counts them."""
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{process}/task").glob("*/schedstat"))


def ask(options: argparse.Namespace) -> dict[str, float | str]:
    url = f"http://127.0.0.1:{options.port}/"
    command = ["wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s", url]
    before, began = cpu_of(options.pid), time.monotonic()
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu, seconds = cpu_of(options.pid) - before, time.monotonic() - began
    found = re.search(r"^\s*(\d+) requests in", output, re.MULTILINE)
    if found is None or "Non-2xx" in output or "Socket errors" in output:
        raise SystemExit(f"wrk: {output.strip()}")
    requests = int(found[1])
    return {
        "client": "wrk",
        "requests": requests,
        "seconds": seconds,
        "server_cpu_ns": cpu,
        "requests_per_second": requests / seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("port", "connections", "seconds", "pid"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--turns", type=int)
    options = parser.parse_args()
    found = {}
    if options.turns is None:
        found = ask(options)
    else:
        with socket.socket(fileno=options.turns) as turns:
            while turns.recv(1):
                found = ask(options)
                turns.sendall(json.dumps(found).encode() + b"\n")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
