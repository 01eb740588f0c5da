"""What of a server in LiteLLM's file is a secret, by its look: a program's arguments and variables, and addresses.

What is taken for one by mistake goes into a variable, or is to be mended; what is not taken for one is printed by `counterseal
migrate`.
"""

from __future__ import annotations

import re
from typing import Final

_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|AUTH|CRED|PRIVATE|DSN|URL|URI|COOKIE", re.IGNORECASE)
_LIKE_A_SECRET: Final = re.compile(r"(?:sk|pk|ak|key|tok|ghp|xox.)[-_].*|(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9_-]{20,}")
_LIKE_ONE_IN_A_PATH: Final = re.compile(
    rf"{_LIKE_A_SECRET.pattern}|.*[;=].*|(?=.*[0-9])(?=.*[A-Za-z]).{{20,}}|(?=.*[a-z])(?=.*[A-Z])[A-Za-z]{{20,}}"
)
_LIKE_ONE_IN_AN_ARGUMENT: Final = re.compile(
    r"(?:sk|pk|gh[a-z]|github_pat|glpat|xox.)[-_].+|eyJ.+|(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+]{20,}"
)

_SECRET_FLAG: Final = re.compile(
    r"--?[A-Za-z-]*(?:key|token|secret|password|passwd|passphrase|auth|credential)[A-Za-z-]*(=.+)?", re.IGNORECASE
)
_SECRET_WORD: Final = r"(?:key|token|secret|pass|pwd|auth|cred|cookie|dsn)"  # noqa: S105
_ASSIGNED: Final = re.compile(
    # `NAME=value` anywhere, `Name: value` alone. A path is none, nor what the program itself takes out of a variable.
    rf"(?:[a-z_-]*{_SECRET_WORD}[a-z_-]*:|.*{_SECRET_WORD}[a-z0-9_-]*=)\s*(?![\s/.]|(?:[a-z]+ )?\$).+",
    re.IGNORECASE | re.DOTALL,
)
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_./:, -]{0,64}")


def is_named_secret(variable: str) -> bool:
    """Whether a variable of this name holds one."""
    return _SECRET_NAME.search(variable) is not None


def is_secret_in(url: str) -> bool:
    """Whether who knows this address may call: there is a query, or a part of the path that nobody would choose as a name."""
    before, query, _ = url.partition("?")
    return bool(query) or any(_LIKE_ONE_IN_A_PATH.fullmatch(part) for part in before.split("://", 1)[-1].split("/")[1:])


def _is_secret_address(argument: str) -> bool:
    """Whether it is an address with a password before the host, or with a secret in it."""
    scheme, found, rest = argument.partition("://")
    return bool(found) and ("@" in rest.partition("/")[0] or (scheme.startswith("http") and is_secret_in(argument)))


def is_harmless(value: str) -> bool:
    """Whether nobody would take it for a secret."""
    return bool(_HARMLESS.fullmatch(value)) and not _LIKE_A_SECRET.fullmatch(value)


def is_secret_argument(pair: tuple[str, str]) -> bool:
    """Whether an argument is a secret, or the value of an option for one. pair: with the argument before it."""
    before, argument = pair
    option = _SECRET_FLAG.fullmatch(argument)
    if "os.environ/" in argument or (option is not None and option[1]) or _ASSIGNED.fullmatch(argument):
        return True
    if any(map(_LIKE_ONE_IN_AN_ARGUMENT.fullmatch, re.split(r"[=:,\s]+", argument))) or _is_secret_address(argument):
        return True
    earlier = _SECRET_FLAG.fullmatch(before)
    return earlier is not None and not earlier[1] and not argument.startswith("-")
