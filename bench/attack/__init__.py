"""Bad tokens by the million against the whole gateway: none may pass, break anything, reach a server or go unrecorded.

Owns the generator. Each token is bad for a reason that is known before it is shown: it breaks one rule (a row of the threat
model, in the family's name) and keeps all others, and where keys are not the point it is signed with a right one, so that nothing
but that rule stands in its way. Tokens that come out of blind changes of good ones are compared with all good ones.

A generator finds what its author thought of. No acceptance among so many says something of this generator, and no more.
"""
