"""An attack on one server with bad tokens, to see which it takes: `counterseal probe`.

`attacks` is the table of what is tried, `forge` makes the tokens, `ways` bring them to a server, `aim` says which server,
and `probing` does it all in one order and judges. Good and bad tokens differ in the one thing that is tried, so a refusal counts
only where the good one was taken.
"""
