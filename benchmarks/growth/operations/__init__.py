"""The operations, one module a part of the API; importing this registers them all."""

from benchmarks.growth.operations import callbacks, deferreds, fuses, network, timers, tools
from benchmarks.growth.registry import OPERATIONS

__all__ = ["OPERATIONS", "callbacks", "deferreds", "fuses", "network", "timers", "tools"]
