"""What a change costs, in instructions: two builds of Fate, row by row, counted by callgrind.

Time on a shared machine tells a tenth from nothing only after many runs; instructions are the same twice. They are
those of the process, not the kernel's: what a change of the number of system calls costs, `make bench` tells.
`__main__` compares, `child` runs in each of the two interpreters, `echoes` has the rows with connections; all other
rows are those of the benchmark that need one process.
"""
