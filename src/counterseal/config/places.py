"""The kinds of value that lead out of the file: references to secrets, and where keys, the store and the records are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, StrictStr, ValidationInfo

from counterseal.config.problems import wrong
from counterseal.config.secret import SecretReference, Unresolved
from counterseal.config.source import Source
from counterseal.files import check_private_file

_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_KEY_STORES: Final = frozenset(["pkcs11", "awskms", "gcpkms", "azurekms", "vault"])


def _reference(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise wrong("must be a reference to a secret: `env:NAME` or `file:PATH`")
    try:
        return Source.of(info).reference(value)
    except Unresolved as error:
        raise wrong(str(error)) from None


def _header_reference(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        raise wrong(
            "must be a reference to a secret: `env:NAME`, `file:PATH`, or a scheme before one: `Bearer env:NAME`"
        )
    try:
        return Source.of(info).header_reference(value)
    except Unresolved as error:
        raise wrong(str(error)) from None


def _had(reference: SecretReference, info: ValidationInfo) -> SecretReference:
    if Source.of(info).with_secrets:
        try:
            reference.resolve()
        except Unresolved as error:
            raise wrong(str(error)) from None
    return reference


def _header_secret(reference: SecretReference, info: ValidationInfo) -> SecretReference:
    if Source.of(info).with_secrets and not _HEADER_VALUE.fullmatch(reference.resolve().reveal()):
        raise wrong("leads to a secret that no header can carry: it must be one line of printable ASCII")
    return reference


def _private_key(reference: SecretReference, info: ValidationInfo) -> SecretReference:
    if reference.kind != "file":
        raise wrong("must be `file:PATH`: the file that holds the key in PEM")
    if Source.of(info).with_secrets and (problem := check_private_file(Path(reference.place))) is not None:
        raise wrong(problem)
    return reference


def _key_source(text: str, info: ValidationInfo) -> str:
    source = Source.of(info)
    kind = text.partition(":")[0]
    if text == "store":
        return text
    if kind in _KEY_STORES:
        raise wrong("key stores are not built yet: write `store`, `env:NAME` or `file:PATH`")
    if kind not in ("env", "file"):
        raise wrong("must be `store`, `env:NAME` or `file:PATH`; the key itself never stands in the configuration")
    try:
        reference = SecretReference.parse(text, source.folder)
        if source.with_secrets:
            problem = check_private_file(Path(reference.place)) if kind == "file" else None
            if problem is not None:
                raise wrong(problem)
            reference.resolve()
    except Unresolved as error:
        raise wrong(str(error)) from None
    return f"{kind}:{reference.place}"


def _store(text: str, info: ValidationInfo) -> str:
    kind, _, rest = text.partition(":")
    if kind.startswith("postgres"):
        raise wrong("PostgreSQL is not built yet: write `sqlite:PATH`")
    if text == "memory:":
        return text
    if kind != "sqlite" or not rest:
        raise wrong('must be `sqlite:PATH`, or `"memory:"`, in quotes, for keys that end with the process')
    if rest == ":memory:":
        raise wrong('keeps nothing: write `"memory:"`, in quotes')
    if rest.startswith("//"):
        raise wrong("must name a path after `sqlite:`, without `//`")
    return f"sqlite:{Source.of(info).folder / rest}"


def _folder(text: str, info: ValidationInfo) -> str:
    kind, _, rest = text.partition(":")
    if kind != "file" or not rest:
        raise wrong("must be `file:FOLDER`: other places for records are not built yet")
    if rest.startswith("//") and not rest.startswith("///"):
        raise wrong("must name a folder after `file:`, without `//`")
    return f"file:{Source.of(info).folder / rest}"


Reference = Annotated[SecretReference, BeforeValidator(_reference)]
HeldSecret = Annotated[Reference, AfterValidator(_had)]
HeaderSecret = Annotated[
    SecretReference, BeforeValidator(_header_reference), AfterValidator(_had), AfterValidator(_header_secret)
]
PrivateKeyFile = Annotated[Reference, AfterValidator(_private_key)]
KeySource = Annotated[StrictStr, AfterValidator(_key_source)]
StoreAddress = Annotated[StrictStr, AfterValidator(_store)]
AuditSink = Annotated[StrictStr, AfterValidator(_folder)]
