"""What a call through the gateway costs, and what becomes of bad ones: for each promise, the run that shows it.

Owns the load, the answering server, the processes under test and the verdicts. `python -m bench` starts the gateway as anybody
would, by its command and a configuration file. What is timed or attacked inside of this process (`inside.py`, `flood.py`,
`attack/`) is built by the gateway's own composition root from such a file. Linux only where processes are pinned to cores and
/proc is read.
"""
