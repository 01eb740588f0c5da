"""Store: what must outlive a process and be the same in all of them.

Owns the ports (`port.py`), their SQLAlchemy and in-memory forms, and the opening of both. Holds API keys (never their
secrets, only a keyed digest), our signing keys, the deployment's own secrets and the issuer that all of it belongs to.
Depends on core, errors and files; SQLAlchemy and aiosqlite are known to this room alone.

What goes wrong at start is a `ConfigError` with a remedy; what goes wrong later is `CannotTell("store_unavailable")`.
"""
