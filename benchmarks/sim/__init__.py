"""How fast universes are, and how deterministic, beside other simulators of asyncio: ``python -m benchmarks.sim``.

    programs.py    WHAT is run: the same asyncio programs for all
    simulators.py  WHO runs them: one class a simulator, used as its documentation says
    child.py       one measurement in a process of its own
    table.py       rows, goals, medians of paired runs, and the table
    __main__.py    the command line: the environment, and the turns

Everything here counts things a second, so higher is better. Only ratios within one run mean anything.
"""
