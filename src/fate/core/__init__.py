"""What happens, and in which order: the engine, handles, timers, fuses, and the record of causes.

Nothing here knows a socket, asyncio or Twisted; whoever builds a loop on it brings those.
"""
