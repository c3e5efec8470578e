"""A firecracker that a spark from the network ignites: a UDP packet, or a line on a TCP connection.

    python examples/packet_fuse.py             # prints where it waits, and how to ignite it
    python examples/packet_fuse.py --wait 5    # and goes damp after 5 seconds instead of 60

Ben Eills's article names what its Fate cannot do: burn on a packet, call several handlers, wait without polling.
Here is all of it: `udp | tcp | rain` burns with the first of the three, and four people watch one fuse.
"""

import argparse

from fate import Fate, Fuse

parser = argparse.ArgumentParser(description="A firecracker that a packet ignites.")
parser.add_argument("--wait", type=float, default=60, metavar="SECONDS", help="how long until it is damp (60)")
wait: float = parser.parse_args().wait

fate = Fate()
udp = fate.get_packet_fuse(("127.0.0.1", 0), prefix=b"ignite")  # whatever follows the word, a newline say
tcp = fate.get_packet_fuse(("127.0.0.1", 0), b"ignite", protocol="tcp")
rain = fate.get_fuse(wait)
spark = udp | tcp | rain


def look(spark: Fuse) -> None:
    """The first handler: tells what came of it. A compound fuse's value is the part that burned."""
    part = spark.value
    if part is rain:
        print(f"{wait:g} seconds and no spark: the firecracker is damp.")
    else:
        host, port = part.value.sender
        print(f"A spark over {'udp' if part is udp else 'tcp'} from {host}:{port}. BOOM!")


spark.set_handler(look, spark)
for witness in ("The dog", "Ben Eills"):
    spark.add_handler(print, witness, "looks up.")
spark.add_handler(fate.shutdown)

print(f"The firecracker waits for the word 'ignite'. You have {wait:g} seconds. From another terminal:")
print(f"  echo ignite > /dev/udp/127.0.0.1/{udp.address[1]}    (in bash)")
print(f"  echo ignite > /dev/tcp/127.0.0.1/{tcp.address[1]}", flush=True)
fate.run()
fate.close()
