"""The servers that some suites talk to, started on the loopback for one run and ended with it.

Debian's packages `redis-server` and `postgresql` have them. PostgreSQL refuses to run as root; started by root it
runs as the user `postgres`. What is missing is said, with the package's name.
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE = 60.0
REDIS_PORT = 6379
"""Some of redis-py's tests know no other."""


class Missing(Exception):
    """A server that is not there, or a port that is taken."""


@contextmanager
def service(name: str | None) -> Iterator[dict[str, str]]:
    """Run the server; yields environment variables for its tests."""
    if name is None:
        yield {}
        return
    server = {"redis": redis, "postgres": postgres}[name]
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder, server(Path(folder)) as variables:
        yield variables


def program(name: str, package: str) -> str:
    places = [os.environ.get("PATH", ""), *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise Missing(f"no {name}: install Debian's package {package}")
    return found


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Missing(f"{process.args!r} ended with status {process.returncode}")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Missing(f"nothing answers on port {port}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def redis(folder: Path) -> Iterator[dict[str, str]]:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", REDIS_PORT)) == 0:
            raise Missing(f"port {REDIS_PORT} is in use, and the tests want a server of their own there")
    command = [program("redis-server", "redis-server"), "--port", str(REDIS_PORT), "--bind", "127.0.0.1"]
    command += ["--save", "", "--appendonly", "no", "--enable-debug-command", "yes"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(REDIS_PORT, process)
            yield {}
        finally:
            process.terminate()


@contextmanager
def postgres(folder: Path) -> Iterator[dict[str, str]]:
    user = "postgres" if os.geteuid() == 0 else None
    data, port = folder / "data", free_port()
    if user:
        shutil.chown(folder, user)
    initdb = [program("initdb", "postgresql"), "-D", str(data), "-U", "postgres", "--auth=trust", "-E", "UTF8", "-N"]
    subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    command = [program("postgres", "postgresql"), "-D", str(data), "-p", str(port), "-h", "127.0.0.1"]
    command += ["-k", str(folder), "-c", "fsync=off", "-c", "max_connections=200"]
    with subprocess.Popen(command, user=user, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        finally:
            process.terminate()
