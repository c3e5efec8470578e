"""The process that is tortured; `python -m tests.torture` starts it, again and again, and says what became of it."""

from __future__ import annotations

import argparse
import array
import faulthandler
import fcntl
import gc
import logging
import os
import resource
import signal
import socket
import sys
import termios
import time
import traceback
import warnings
from pathlib import Path
from typing import NoReturn

from tests.torture.machine import Diary, names, parse, play, torture

WRONG = 3  # the status of a process that found a difference
CANARY = b"whoever reads this has taken descriptor 0 for its own"
BATCH = 25  # examples


def place_canary() -> socket.socket:
    """Descriptor 0 is a socket that nobody has any business with. Gives its peer."""
    mine, peer = socket.socketpair()
    os.dup2(mine.fileno(), 0)
    mine.close()
    peer.setblocking(False)
    peer.send(CANARY)
    return peer


def look_at_canary(peer: socket.socket) -> None:
    try:
        data = peer.recv(100)
    except BlockingIOError:
        pass
    else:
        raise AssertionError(f"descriptor 0 was written to, or closed: {data!r}")
    left = array.array("i", [0])
    fcntl.ioctl(0, termios.FIONREAD, left)
    if left[0] != len(CANARY):
        raise AssertionError("descriptor 0 was read from")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--diary", required=True)
    parser.add_argument("--report", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--without", default="")
    parser.add_argument("--only", default="")
    parser.add_argument("--batches", type=int, default=0)
    parser.add_argument("--play", default="")
    given = parser.parse_args()

    trace = os.open(given.report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    trace = fcntl.fcntl(trace, fcntl.F_DUPFD, 900)  # out of the way of what is made and closed here
    sanitized = "libasan" in os.environ.get("LD_PRELOAD", "")
    if not sanitized:  # which tells more, and elsewhere
        faulthandler.enable(trace)
    faulthandler.register(signal.SIGALRM, trace, all_threads=True, chain=True)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    if not sanitized:
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    peer = place_canary()
    diary = Diary(given.diary)

    def failed(error: BaseException) -> NoReturn:
        os.write(trace, "".join(traceback.format_exception(error)).encode())
        os._exit(WRONG)

    gc.collect()
    gc.freeze()  # what the tests are made of need not be looked through again and again
    if given.play:
        diary.begin()
        play(parse(Path(given.play).read_text()), failed, diary)
        try:
            look_at_canary(peer)
        except AssertionError as error:
            failed(error)
        os._exit(0)
    actions = names(filter(None, given.without.split(",")), filter(None, given.only.split(",")))
    deadline = time.monotonic() + given.seconds
    number = given.seed * 1000
    while time.monotonic() < deadline and (not given.batches or number < given.seed * 1000 + given.batches):
        try:
            torture(actions, diary, failed, number, BATCH, given.steps)
            look_at_canary(peer)
        except Exception as error:
            failed(error)
        number += 1
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
