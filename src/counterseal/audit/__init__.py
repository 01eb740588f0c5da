"""Audit: what happened, written down so that a later change shows.

Owns the form of the chained records (`chain.py`, pure), the sinks that take entries (`sink.py` is the port), and the reading of
what they wrote. Entries are dictionaries made by `core/record.py`; this room does not know what is in them. Depends on
core and errors.

No record, no effect: an entry that cannot be written in time is `CannotTell("audit_unavailable")`.
"""
