"""Runs a program after `fate.tx.install()`, as its author might write on its first line.

install.py [--deferreds] program.py arguments... | -m module arguments...
"""

import runpy
import sys

import fate.tx

deferreds = sys.argv[1] == "--deferreds"
fate.tx.install(deferreds=deferreds)
del sys.argv[: 2 if deferreds else 1]
if sys.argv[0] == "-m":
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    runpy.run_path(sys.argv[0], run_name="__main__")
