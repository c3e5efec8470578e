"""Bytes in and out: waiting for descriptors (`poll`) and for packets (`packet`).

Streams and datagrams are the standard library's transports for now, carried by `poll`.
"""
