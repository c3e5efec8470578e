# Compiled so that no signal's handler runs, and raises, between two steps.
