"""Lets `python -m fate ...` do what the `fate` command does.

Nothing lives here: the commands are in `fate.cli`, one file each.
"""

import sys

from fate.cli import main

if __name__ == "__main__":
    sys.exit(main())
