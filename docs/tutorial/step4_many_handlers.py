"""Step 4: many people watch one fuse, and one fuse burns because of two others."""

from fate import Fate

fate = Fate()

bang = fate.get_fuse(0.1)
for witness in ("Alice", "the March Hare", "the Dormouse"):
    bang.add_handler(print, witness, "heard it")

sand_runs_out = fate.get_fuse(0.2)
everything = bang & sand_runs_out
everything.add_handler(print, "It is over.")
everything.add_handler(fate.shutdown)

fate.run()
