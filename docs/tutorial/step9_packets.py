"""Step 9: a packet ignites it, unless it starts to rain before."""

import socket

from fate import Fate

fate = Fate()
spark = fate.get_packet_fuse(("127.0.0.1", 0), b"ignite")  # port 0: any that is free
rain = fate.get_fuse(5)
first = spark | rain


def look() -> None:
    if first.value is spark:
        print("BOOM! The packet said", spark.value.data)
    else:
        print("The firecracker is damp.")
    fate.shutdown()


first.set_handler(look)

# Somebody out there; it could as well be another program, or another machine.
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as match:
    match.sendto(b"good morning", spark.address)
    match.sendto(b"ignite", spark.address)

fate.run()
fate.close()
