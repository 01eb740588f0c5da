"""Configuration: from a YAML file to frozen values, once, at start.

Owns the shape of the file (`schema.py`), the kinds of value in it (`values.py`, and `places.py` for what leads out of it),
whether its parts fit together (`fitting.py`), the strict reading of YAML with the place of every key (`reader.py`, `load.py`),
references to secrets (`secret.py`), and what the core takes from all that (`compile.py`). May import wire, jose, core, errors and
the rooms that it configures. Reads the file, the environment variables and the secret files that it names; writes nothing, and
opens no connection.

A problem is never a warning that is passed over: the file is either right as a whole or the gateway doesn't start, and then
every problem is told with its line, column and key.
"""
