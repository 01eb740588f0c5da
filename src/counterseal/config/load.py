"""Reading a configuration file: all of it is right, or nothing of it is used.

Every problem is told at once, `file:line:column: path: what is wrong and how to mend it`. Only where one value depends on
another that is wrong itself is it looked at once that one is right.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from counterseal.config.litellm import Translated, is_litellm, translate
from counterseal.config.problems import nearest
from counterseal.config.reader import Document, Problem, Steps, path_text, read
from counterseal.config.schema import Configuration
from counterseal.config.source import Source
from counterseal.errors import ConfigError

_MOST_BYTES: Final = 1024 * 1024
_EXAMPLES: Final = {
    "url": "http://127.0.0.1:8000/mcp",
    "name": "corp",
    "key": "env:OPERATORS_KEY",
    "endpoint": "https://idp.example.com/introspect",
    "client_id": "gateway",
    "use": "argument_schema",
    "header": "X-Server-Authorization",
    "audience": "example.internal",
}
_KINDS: Final = {
    type(None): "empty",
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "a text",
    tuple: "a list",
    dict: "a mapping",
}


def load(path: Path | str, *, with_secrets: bool = True) -> Configuration:
    """The configuration in a file. Paths in it are relative to the file's folder.

    with_secrets: also see to it that every secret that it refers to can be had, as a gateway needs them.
    Raises ConfigError with all problems.
    """
    path = Path(path)
    return load_text(_text(path), str(path), path.absolute().parent, with_secrets=with_secrets)


def read_litellm(path: Path, environment: Mapping[str, str]) -> Translated:
    """What a LiteLLM file means here, not held against the schema yet. environment: the variables of the process.

    Raises ConfigError for a file that cannot be read, or is none of LiteLLM's.
    """
    document = read(_text(path))
    if not is_litellm(document):
        problems = document.problems or [Problem(1, 1, "the file", _NOT_LITELLM)]
        raise ConfigError(*(f"{path}:{line}:{column}: {where}: {what}" for line, column, where, what in problems))
    return translate(document, environment)


_NOT_LITELLM: Final = "is no configuration of LiteLLM's: it has neither `mcp_servers` nor `guardrails`"


def _text(path: Path) -> str:
    """Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file: name the one that there is, or write it; "
            "docs/configuration.md begins with an example that works"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: it cannot be read ({error.strerror}): name a file that can") from None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path}: it holds more than {_MOST_BYTES} bytes: name the file that holds the configuration")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].split(b"\n")
        column = len(before[-1].decode(errors="replace")) + 1
        raise ConfigError(f"{path}:{len(before)}:{column}: YAML: is not UTF-8: save the file as UTF-8") from None


def load_text(text: str, name: str, folder: Path, *, with_secrets: bool = True) -> Configuration:
    """The configuration in a text. name: what messages call it. folder: what relative paths start from. See `load`."""
    document, translated = read(text), None
    if is_litellm(document):
        translated = translate(document, os.environ)
        document = translated.document
    problems = list(document.problems)
    configuration = None
    if () not in document.spoiled and (translated is None or not problems):
        places = {path_text(steps): document.place(steps) for steps in document.values}
        source = Source(name, folder, places, with_secrets)
        if translated is not None:
            source = replace(source, held=translated.held, notes=tuple(told(translated, name)))
        try:
            configuration = Configuration.model_validate(document.data, context=source)
        except ValidationError as error:
            problems += _problems(error, document)
    if configuration is None or problems:
        raise ConfigError(*(f"{name}:{line}:{column}: {path}: {what}" for line, column, path, what in sorted(problems)))
    return configuration


def told(translated: Translated, name: str) -> Iterator[str]:
    """What there is to say about a LiteLLM file, one line each in its order. name: what messages call it."""
    for note in sorted(translated.notes, key=lambda note: note.place):
        yield f"{Path(name).name}:{note.place[0]}: {note.path}: {note.what}"


def _problems(error: ValidationError, document: Document) -> Iterator[Problem]:
    for one in error.errors(include_url=False, include_input=False):
        steps, is_key = one["loc"], one["type"] == "extra_forbidden"
        if steps and steps[-1] == "[key]":
            steps, is_key = steps[:-1], True
        if any(steps[:length] in document.spoiled for length in range(len(steps) + 1)):
            continue
        line, column = document.keys[steps] if is_key else document.place(steps)
        yield Problem(
            line, column, document.path(steps), _say(one["type"], one["msg"], one.get("ctx", {}), steps, document)
        )


def _say(kind: str, message: str, context: Mapping[str, Any], steps: Steps, document: Document) -> str:
    """pydantic's kinds of error in our words."""
    value = document.at(steps)
    found = _KINDS[type(value)]
    match kind:
        case "missing":
            example = "https://gateway.example.com" if steps == ("issuer",) else _EXAMPLES.get(str(steps[-1]))
            return "is missing: add it" + (f", for example `{steps[-1]}: {example}`" if example else "")
        case "extra_forbidden":
            return f"is an unknown key{nearest(str(steps[-1]), _known_keys(steps[:-1]))}"
        case "string_type":
            mend = "put it in quotes" if isinstance(value, int | float) else "write one, or leave the key out"
            return f"must be a text and is {found}: {mend}"
        case "int_type":
            return f"must be a whole number and is {found}: write digits alone, without quotes"
        case "bool_type":
            return f"must be true or false and is {found}: write true or false without quotes"
        case "tuple_type":
            return f"must be a list and is {found}: write `[one, two]`, or one a line after `-`"
        case "model_type" | "mapping_type" | "dict_type":
            return f"must be a mapping and is {found}: write `key: value` lines below it"
        case "literal_error":
            return f"must be one of {context['expected']}"
    return message


def _known_keys(steps: Steps) -> list[str]:
    """The keys of the mapping there, as the schema has them."""
    hint: Any = Configuration
    for step in steps:
        hint = child_of(hint, step)
    return [field.alias or name for name, field in _bare(hint).model_fields.items()]


def child_of(hint: Any, step: str | int) -> Any:
    """The type of what stands under a key or position of a value of this type."""
    hint = _bare(hint)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return next(field.annotation for name, field in hint.model_fields.items() if step == (field.alias or name))
    return get_args(hint)[0 if get_origin(hint) is tuple else 1]


def _bare(hint: Any) -> Any:
    """The type without its validators and without None."""
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return _bare(next(one for one in get_args(hint) if one is not type(None)))
    return hint
