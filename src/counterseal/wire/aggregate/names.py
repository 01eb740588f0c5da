"""What tools, prompts and resources are called where all servers have one address, and the way back.

* A tool or prompt is `{server}__{name}`. No server's name holds `__` or ends in `_` (config/values.py), so the first `__` is
  always the one that was put there: a name is taken apart in one way only, and nothing is looked for (S-04).
* A resource is `counterseal:{server}/{uri}`, with its URI as it is. No server's name holds `/`. What is put before a valid URI or
  template makes a valid one, and the expansion of a template's new spelling is the new spelling of its expansion.
* LiteLLM's names (`Spelling`) have a separator that names of servers may hold; which servers there are then says where it is,
  and a configuration in which two could fit is refused. At an address for one server alone its own names are taken, too.
* A call that names something becomes a call for its one server, in that server's own words; everything after this reads those.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from counterseal.core.call import Call
from counterseal.core.methods import METHODS
from counterseal.errors import BadCall

SEPARATOR: Final = "__"
SCHEME: Final = "counterseal:"

_URIS: Final = frozenset({"uri", "uriTemplate"})
NO_RESOURCE: Final = (
    "there is no such resource for this caller: URIs are `counterseal:{server}/{uri}`, as the lists show them"
)
NO_TASK: Final = "there is no such task for this caller"
_NO_NAME: Final = (
    "there is nothing of this name for this caller: names are `{{server}}{}{{name}}`, as the lists show them"
)


@dataclass(frozen=True, slots=True)
class Spelling:
    """How tools and prompts are called. servers: those that there are, none of which with the separator begins another one; None
    where no server's name can hold the separator."""

    separator: str = SEPARATOR
    servers: tuple[str, ...] | None = None

    def joined(self, server: str, name: str) -> str:
        """What a server's tool or prompt is called here."""
        return f"{server}{self.separator}{name}"

    def parted(self, name: str) -> tuple[str, str] | None:
        """The inverse of `joined`: server and name; None for a name that it cannot have made."""
        if self.servers is None:
            server, separator, own = name.partition(self.separator)
            return (server, own) if separator and server else None
        for server in self.servers:
            if name.startswith(before := server + self.separator):
                return server, name.removeprefix(before)
        return None


OURS: Final = Spelling()


def joined(server: str, name: str) -> str:
    """What a server's tool or prompt is called here."""
    return OURS.joined(server, name)


def parted(name: str) -> tuple[str, str] | None:
    """The inverse of `joined`: server and name; None for a name that it cannot have made."""
    return OURS.parted(name)


def spelled(server: str, uri: str) -> str:
    """What a server's resource, or template of resources, is called here."""
    return f"{SCHEME}{server}/{uri}"


def unspelled(uri: str) -> tuple[str, str] | None:
    """The inverse of `spelled`: server and URI; None for a URI that it cannot have made."""
    server, separator, own = uri.removeprefix(SCHEME).partition("/")
    return (server, own) if uri.startswith(SCHEME) and separator and server else None


def shown(field: str, server: str, name: str, spelling: Spelling = OURS) -> str:
    """The name here of what a server names in this member: `name`, `uri` or `uriTemplate`."""
    return spelled(server, name) if field in _URIS else spelling.joined(server, name)


def nothing(call: Call, spelling: Spelling = OURS) -> BadCall:
    """For a call that names what is not there, whoever has it: a name of no server, or one of a server that is not for the
    caller. Nobody can tell the two apart (A-10)."""
    field = _field(call, _params(call))
    if field in _URIS:
        return BadCall("invalid_params", NO_RESOURCE)
    if field == "taskId":
        return BadCall("invalid_params", NO_TASK)
    return BadCall("invalid_params", _NO_NAME.format(spelling.separator))


def names_one(call: Call) -> bool:
    """Whether it is for one server only, because it names something."""
    return call.name is not None


def for_one(call: Call, spelling: Spelling = OURS, alone: str | None = None) -> Call:
    """A call that names something, as its server gets it. alone: the server that is meant where none is named. Raises BadCall for
    a name that belongs to no server."""
    params = _params(call)
    field = _field(call, params)
    # The ids of tasks are the gateway's own wherever they are given (servers/handles.py).
    found = (unspelled if field == "uri" else parted if field == "taskId" else spelling.parted)(call.name or "")
    if found is None and alone is not None:
        found = alone, call.name or ""
    if found is None:
        raise nothing(call, spelling)
    server, own = found
    renamed = {"ref": {**params["ref"], field: own}} if call.method == "completion/complete" else {field: own}
    params = {**params, **renamed}
    return msgspec.structs.replace(call, server=server, name=own, message={**(call.message or {}), "params": params})


def _params(call: Call) -> Mapping[str, Any]:
    params: Mapping[str, Any] = (call.message or {}).get("params", {})
    return params


def _field(call: Call, params: Mapping[str, Any]) -> str:
    """The member that names it: of `params`, or of its `ref`."""
    if call.method == "completion/complete":
        return "name" if params["ref"]["type"] == "ref/prompt" else "uri"
    return METHODS[call.method].name_field or "name"
