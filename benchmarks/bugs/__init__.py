"""Known bugs of well-known libraries: `fate explore` finds each in a version that has it, and nothing in a later one.

    python -m benchmarks.bugs                    make bugs: all of them, as a table
    python -m benchmarks.bugs --only redis       those whose names begin so
    python -m benchmarks.bugs --markdown         the table for a README; --json: all that is known

The map: `known` is the list of bugs and versions; `scenarios/` one program a bug, which uses the library as anybody
would and knows nothing of Fate; `places` makes a virtual environment for each version; `hunt` explores there and
judges; `table` tells. What finds the bugs is `fate explore` with its defaults, nothing else: no seeds, no faults.
"""
