"""A FastAPI application of 120 operations that checks the call token of every request against the operation and its
arguments.

python -m tests.parties.things --port 9001 --issuer I --audience A --document openapi.json

Twenty kinds of things, each with list, get, create, replace, change and remove. FastAPI writes the OpenAPI document, which
goes to the file before the first connection is accepted.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, HTTPException, Query, Request, Response
from pydantic import BaseModel

from counterseal.verify import VerificationError, Verifier
from tests.parties.hosting import run

KINDS: Final = (
    "accounts",
    "addresses",
    "books",
    "carts",
    "customers",
    "deliveries",
    "events",
    "files",
    "groups",
    "invoices",
    "jobs",
    "keys",
    "labels",
    "machines",
    "notes",
    "orders",
    "payments",
    "quotes",
    "reports",
    "stores",
)


class Part(BaseModel):
    """A part, of parts."""

    label: str
    parts: list[Part] = []


class Thing(BaseModel):
    """What is sent."""

    name: str
    amount: int | None = None
    tags: list[str] = []
    part: Part | None = None


class Kept(Thing):
    """What is kept of it."""

    id: str


class Page(BaseModel):
    """Some of them. caller: for whom the call was made."""

    items: list[Kept]
    caller: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("--issuer", "--audience", "--document"):
        parser.add_argument(name, required=True)
    chosen = parser.parse_args()
    app = FastAPI(title="Things", version="1.0")
    verifier = Verifier(issuer=chosen.issuer, audience=chosen.audience)
    for kind in KINDS:
        add(app, verifier, kind)
    Path(chosen.document).write_text(json.dumps(app.openapi()))
    run(app, chosen.port)


async def check(verifier: Verifier, request: Request, arguments: dict[str, Any]) -> str:
    """The subject of the call, if its token is for this operation with these arguments."""
    token = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        name = request.scope["route"].operation_id
        return (await verifier.averify(token, method="tools/call", name=name, arguments=arguments)).subject
    except VerificationError as refused:
        raise HTTPException(refused.status, refused.code) from None


def add(app: FastAPI, verifier: Verifier, kind: str) -> None:
    """The six operations on one kind of things, which live as long as the process."""
    kept: dict[str, Kept] = {}
    described: dict[str, Any] = {"tags": [kind], "responses": {404: {"description": "There is none"}}}

    def found(id: str) -> Kept:
        if id not in kept:
            raise HTTPException(404, f"there is no {id} in {kind}")
        return kept[id]

    @app.get(f"/{kind}", operation_id=f"list_{kind}", summary=f"List {kind}", tags=[kind])
    async def list_them(
        request: Request,
        tag: Annotated[list[str] | None, Query(description="Only those with all of these tags.")] = None,
        most: Annotated[int | None, Query(alias="page[most]", ge=1, le=100)] = None,
    ) -> Page:
        given = {"tag": tag, "page_most": most}
        caller = await check(verifier, request, {name: value for name, value in given.items() if value is not None})
        items = [one for one in kept.values() if set(tag or ()) <= set(one.tags)]
        return Page(items=items[:most], caller=caller)

    @app.get(f"/{kind}/{{id}}", operation_id=f"get_{kind}", **described)
    async def get(request: Request, id: str) -> Kept:
        await check(verifier, request, {"id": id})
        return found(id)

    @app.post(f"/{kind}", operation_id=f"create_{kind}", status_code=201, tags=[kind])
    async def create(request: Request, thing: Thing, idempotency_key: Annotated[str | None, Header()] = None) -> Kept:
        given = {} if idempotency_key is None else {"idempotency-key": idempotency_key}
        await check(verifier, request, {**given, "body": await request.json()})
        id = f"{kind}-{len(kept) + 1}"
        kept[id] = Kept(id=id, **thing.model_dump())
        return kept[id]

    @app.put(f"/{kind}/{{id}}", operation_id=f"replace_{kind}", **described)
    async def replace(request: Request, id: str, thing: Thing) -> Kept:
        await check(verifier, request, {"id": id, "body": await request.json()})
        found(id)
        kept[id] = Kept(id=id, **thing.model_dump())
        return kept[id]

    @app.patch(f"/{kind}/{{id}}", operation_id=f"change_{kind}", **described)
    async def change(request: Request, id: str, members: dict[str, Any]) -> Kept:
        await check(verifier, request, {"id": id, "body": await request.json()})
        kept[id] = Kept(**{**found(id).model_dump(), **members, "id": id})
        return kept[id]

    @app.delete(f"/{kind}/{{id}}", operation_id=f"remove_{kind}", status_code=204, **described)
    async def remove(request: Request, id: str) -> Response:
        await check(verifier, request, {"id": id})
        kept.pop(found(id).id)
        return Response(status_code=204)


if __name__ == "__main__":
    main()
