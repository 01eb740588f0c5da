"""What a call through the gateway costs, beside nginx and beside bare signing, in one run.

Owns the load, the answering server, the processes under test and the verdict on each speed target. Starts the gateway as
a user would, by its command and a configuration file, and imports nothing of it. Linux only: it pins processes to cores
and reads /proc.
"""
