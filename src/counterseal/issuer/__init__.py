"""Who countersigns: keys, the key ring, minting, and the documents that tell the world.

Owns every private key and the only place where a call token is made (`mint.py`). A private key never leaves a signer: there
is no accessor for it. May import jose, core and errors.
"""
