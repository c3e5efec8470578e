"""uvloop with aiofastnet's transports: TLS by calling OpenSSL directly."""

from __future__ import annotations

import asyncio

import aiofastnet
import uvloop


def new_event_loop() -> asyncio.AbstractEventLoop:
    loop: asyncio.AbstractEventLoop = aiofastnet.patch_loop(uvloop.new_event_loop())
    return loop
