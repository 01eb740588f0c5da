"""Bytes to values and back: JSON-RPC, the envelopes of both protocol eras, routing headers, event streams, and OpenAPI
documents (`openapi/`). PURE.

Owns every rule about what a message may look like, in either direction. May import core and errors; no I/O, no clock.
"""
