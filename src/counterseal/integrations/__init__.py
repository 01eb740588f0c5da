"""Counterseal inside of other people's programs: what they call is decided and countersigned by the gateway's own pipeline.

Owns the adapters, one folder for each program, and nothing that decides or signs: `Pipeline.permit` is the only place that
does. May import web (for the documents under `/.well-known/`), gateway and what is below; nothing imports it. The program that
a folder is for is imported there alone and is no dependency of Counterseal: it brings us along, not we it.
"""
