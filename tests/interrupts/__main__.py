"""Interrupts runs of Fate, and looks whether anything is lost: see `injector.py`."""

from tests.interrupts.injector import main

main()
