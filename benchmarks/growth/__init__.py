"""What happens to the cost of an operation when there is twice as much of it: ``python -m benchmarks.growth``.

    operations/    WHAT is done n times: one small generator an operation
    registry.py    what an operation is
    measure.py     n is doubled, the CPU time counted, and the verdict: linear, or it grows

Other loops have no part in this: a cost that grows faster than the work is a fault, whoever else has it.
"""
