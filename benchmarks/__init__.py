"""Fate side by side with its peers, in one run: ``python -m benchmarks``.

    rows/          WHAT is measured: one small function a row, with its targets beside it
    peers.py       WHO is measured: one line a loop
    registry.py    what a row and a target are
    bench.py       what a row is given: a loop factory, clocks, cores
    child.py       the fresh process in which one row is measured once, on one loop
    load/          load generators in C, built when needed
    runner.py      the turns: every loop once within each repetition
    summary.py     medians of paired runs, spread, targets met or missed
    report.py      the tables
    charts.py      the pictures
    jobs.py        what an echo server is asked to do; servers.py: asyncio's way of doing it
    foreign/       echo servers of those who are no event loop of asyncio's, and the ceilings in C
    environment.py the virtual environments that hold the peers and Fate's builds

Everything counts cost, so lower is better, and a ratio is the baseline's cost divided by the loop's:
above 1 is cheaper. Only ratios within one run mean anything; absolute values drift from run to run.
"""
