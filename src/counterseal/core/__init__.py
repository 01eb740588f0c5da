"""The pure core: values in, values out.

Owns what a caller, a call, a permit and a record are, and every decision about them. May import nothing that does I/O,
reads a clock, draws random numbers, logs or awaits: `now`, `jti` and keys are arguments.
"""
