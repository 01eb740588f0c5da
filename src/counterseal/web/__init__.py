"""HTTP in: the hot path on its connection itself, everything else as a small Starlette application.

Owns sockets, addresses and ceilings on what a caller may send. Decides nothing about a call: that is the pipeline's.
"""
