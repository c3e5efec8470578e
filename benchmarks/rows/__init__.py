"""The rows, in the order of the table. Importing a module here registers what it holds; add yours to the list."""

# isort: off
from benchmarks.registry import ROWS
from benchmarks.rows import scheduling, tasks, memory, startup, network, web, processes, deferreds, twisted

__all__ = ["ROWS", "deferreds", "memory", "network", "processes", "scheduling", "startup", "tasks", "twisted", "web"]
