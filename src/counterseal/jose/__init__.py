"""Tokens and keys: strict reading, public keys, signatures, claims-set rules. PURE.

Owns every rule about what a JWT or a JWKS may look like, and the only place where token bytes become claims
(`jws.verify`). The order is always the same: `strict.read`, then `KeySet.find`, then `jws.verify`, then `claims.check`; each
takes what the one before it made, so that none can be left out. A refusal is one exception, `refusal.TokenRefused`.

May import core and errors, and cryptography; no I/O, no clock, no randomness. Signing keys live in the issuer.
"""
