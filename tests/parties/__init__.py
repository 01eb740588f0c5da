"""Programs on the other side of the wire. `package.json` names those from npm; the modules are servers on official SDKs.

Nothing here is part of the product, and nothing here imports it but for the verifier that servers install. Each module runs as
`python -m tests.parties.<name>` in a process of its own, on a loopback address, until it is told to end.
"""
