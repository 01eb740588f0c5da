"""What every store keeps to. Derive from `StoreContract` and give it the fixture `store`, and `another`: the same store as
a second process would open it."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from counterseal.errors import ConfigError
from counterseal.store.port import ApiKeyRow, Kind, Sighting, SigningKeyRow, Store, ToolPin

NOW = 1_800_000_500.0
FULL = ApiKeyRow(
    id="abcdefghijkl",
    mac=b"\x00\xffmac",
    subject="alice; DROP TABLE api_keys; --",
    email="alice@example.com",
    team="data",
    org="acme",
    agent="copilot",
    metadata={"näme": "wörd \n", "empty": ""},
    servers=("weather", "files"),
    tools=(),
    created=1_800_000_000.125,
    expires=1_800_000_900.5,
)
BARE = ApiKeyRow(id="mnopqrstuvwx", mac=b"other", subject="bob", created=1_800_000_001.0)


def signing_key(kid: str, algorithm: str = "ES256", created: float = 1.0) -> SigningKeyRow:
    return SigningKeyRow(kid=kid, algorithm=algorithm, pem=f"the private key {kid}".encode(), created=created)


def sighting(
    tool: str,
    digest: str,
    kind: Kind = "first",
    when: float = 1.0,
    server: str = "weather",
) -> Sighting:
    return Sighting(server=server, tool=tool, kind=kind, digest=digest, definition=f"the text of {digest}", when=when)


class StoreContract:
    async def test_an_api_key_comes_back_as_it_was_stored(self, store: Store, another: Store) -> None:
        await store.add_api_key(BARE)
        await store.add_api_key(FULL)
        _, rows = await another.api_keys()
        assert rows == (FULL, BARE)  # the oldest first
        assert (rows[1].servers, rows[1].tools, rows[0].tools) == (None, None, ())

    async def test_an_id_is_given_once(self, store: Store, another: Store) -> None:
        await store.add_api_key(FULL)
        with pytest.raises(ValueError, match="abcdefghijkl"):
            await another.add_api_key(dataclasses.replace(BARE, id=FULL.id))
        assert (await store.api_keys())[1] == (FULL,)

    async def test_a_revoked_key_stays_with_the_time_of_its_first_revocation(
        self, store: Store, another: Store
    ) -> None:
        await store.add_api_key(FULL)
        await store.add_api_key(BARE)
        assert await another.revoke_api_key(FULL.id, 5.0)
        assert await store.revoke_api_key(FULL.id, 6.0)
        _, rows = await store.api_keys()
        assert [row.revoked for row in rows] == [5.0, None]

    async def test_a_key_that_is_not_there_cannot_be_revoked(self, store: Store) -> None:
        await store.add_api_key(FULL)
        assert not await store.revoke_api_key("abcdefghijk_", 5.0)
        assert (await store.api_keys())[1] == (FULL,)

    async def test_a_new_secret_takes_the_place_of_the_one_so_far_and_leaves_all_else(
        self, store: Store, another: Store
    ) -> None:
        await store.add_api_key(FULL)
        await store.add_api_key(BARE)
        row = await another.rotate_api_key(BARE.id, b"new", NOW, NOW + 60)
        assert row == dataclasses.replace(BARE, mac=b"new", previous_mac=BARE.mac, previous_ends=NOW + 60)
        assert (await store.api_keys())[1] == (FULL, row)

    async def test_of_three_secrets_the_oldest_is_gone(self, store: Store, another: Store) -> None:
        await store.add_api_key(BARE)
        await store.rotate_api_key(BARE.id, b"second", NOW, NOW + 60)
        row = await another.rotate_api_key(BARE.id, b"third", NOW + 1, NOW + 30)
        assert row is not None
        assert (row.mac, row.previous_mac, row.previous_ends) == (b"third", b"second", NOW + 30)
        assert (await store.api_keys())[1] == (row,)

    async def test_an_earlier_secret_ends_no_later_than_its_key(self, store: Store) -> None:
        await store.add_api_key(FULL)
        assert FULL.expires is not None
        row = await store.rotate_api_key(FULL.id, b"new", FULL.expires - 1, FULL.expires + 60)
        assert row is not None
        assert row.previous_ends == FULL.expires

    async def test_a_key_that_has_ended_gets_no_new_secret(self, store: Store, another: Store) -> None:
        await store.add_api_key(FULL)
        await store.add_api_key(BARE)
        await store.revoke_api_key(BARE.id, NOW)
        assert FULL.expires is not None
        before = await store.generation(), (await store.api_keys())[1]
        for id, now in ((FULL.id, FULL.expires), (BARE.id, NOW)):
            row = await another.rotate_api_key(id, b"new", now, now + 60)
            assert row is not None
            assert row.mac != b"new"
            assert not row.in_force(now)
        assert (await store.generation(), (await store.api_keys())[1]) == before

    async def test_of_many_who_rotate_at_once_two_have_a_secret_that_works(self, store: Store, another: Store) -> None:
        await store.add_api_key(BARE)
        macs = [f"secret {number}".encode() for number in range(6)]
        await asyncio.gather(
            *(
                who.rotate_api_key(BARE.id, mac, NOW, NOW + 60)
                for who, mac in zip([store, another] * 3, macs, strict=True)
            )
        )
        ((row,), (other,)) = (await store.api_keys())[1], (await another.api_keys())[1]
        assert row == other
        assert row.previous_mac is not None
        assert {row.mac, row.previous_mac} < set(macs)

    @pytest.mark.parametrize("id", ["nosuchkey000", "' OR 1=1 --", "%", "", "mnopqrstuvw_", "a\x00"])
    async def test_a_03_only_the_very_id_is_a_keys(self, store: Store, id: str) -> None:
        await store.add_api_key(BARE)
        assert await store.rotate_api_key(id, b"new", NOW, NOW) is None
        assert not await store.revoke_api_key(id, NOW)
        await store.note_use({id: NOW})
        assert (await store.api_keys())[1] == (BARE,)
        assert await store.rotate_api_key(BARE.id, b"new", NOW, NOW) is not None

    async def test_every_change_of_who_is_accepted_moves_the_generation_on(self, store: Store, another: Store) -> None:
        seen = [await another.generation()]
        await store.add_api_key(FULL)
        seen.append(await another.generation())
        await store.rotate_api_key(FULL.id, b"new", 4.0, 4.0)
        seen.append(await another.generation())
        await store.revoke_api_key(FULL.id, 5.0)
        seen.append(await another.generation())
        assert seen[0] < seen[1] < seen[2] < seen[3]
        assert (await another.api_keys())[0] == seen[3]

    async def test_what_changes_nothing_leaves_the_generation_alone(self, store: Store) -> None:
        await store.add_api_key(FULL)
        await store.revoke_api_key(FULL.id, 5.0)
        before = await store.generation()
        await store.revoke_api_key(FULL.id, 6.0)
        await store.revoke_api_key("nosuchkey000", 6.0)
        await store.rotate_api_key("nosuchkey000", b"new", 6.0, 6.0)
        await store.rotate_api_key(FULL.id, b"new", 6.0, 6.0)
        with pytest.raises(ValueError):
            await store.add_api_key(FULL)
        await store.note_use({FULL.id: 7.0})
        await store.secret("a")
        assert await store.generation() == before

    async def test_the_last_use_of_a_key_is_the_latest_one_that_any_process_saw(
        self, store: Store, another: Store
    ) -> None:
        await store.add_api_key(FULL)
        await store.add_api_key(BARE)
        await store.note_use({FULL.id: 20.0, "nosuchkey000": 1.0})
        await another.note_use({FULL.id: 10.0})
        _, rows = await store.api_keys()
        assert [row.last_used for row in rows] == [20.0, None]

    async def test_y_01_the_first_to_need_a_signing_key_makes_it_and_everybody_gets_it(
        self, store: Store, another: Store
    ) -> None:
        made = await asyncio.gather(
            *(
                who.add_signing_key_if_absent("ES256", lambda n=number: signing_key(f"kid{n}"))  # type: ignore[misc]
                for number, who in enumerate([store, another] * 4)
            )
        )
        assert len({row.kid for row in made}) == 1
        assert await another.signing_keys() == (made[0],)

    async def test_a_signing_key_that_is_there_is_not_made_again(self, store: Store) -> None:
        first = await store.add_signing_key_if_absent("ES256", lambda: signing_key("one"))

        def must_not() -> SigningKeyRow:
            raise AssertionError("made again")

        assert await store.add_signing_key_if_absent("ES256", must_not) == first

    async def test_each_algorithm_has_a_key_of_its_own(self, store: Store) -> None:
        await store.add_signing_key_if_absent("ES256", lambda: signing_key("one", created=2.0))
        await store.add_signing_key_if_absent("RS256", lambda: signing_key("two", "RS256", created=1.0))
        assert [row.kid for row in await store.signing_keys()] == ["two", "one"]

    async def test_a_secret_is_drawn_once_and_is_the_same_for_everybody(self, store: Store, another: Store) -> None:
        drawn = await asyncio.gather(*(who.secret("pepper") for who in [store, another] * 4))
        assert len(set(drawn)) == 1
        assert len(drawn[0]) == 32
        assert await another.secret("seal") not in {drawn[0], bytes(32)}

    async def test_y_13_a_store_takes_the_first_issuer_and_no_other(self, store: Store, another: Store) -> None:
        await store.bind_issuer("https://gateway.example.com")
        await another.bind_issuer("https://gateway.example.com")
        with pytest.raises(ConfigError, match=r"https://gateway\.example\.com/.*Set `issuer: https"):
            await another.bind_issuer("https://gateway.example.com/")

    async def test_y_05_no_key_material_is_in_what_a_row_prints(self, store: Store) -> None:
        await store.add_api_key(FULL)
        await store.rotate_api_key(FULL.id, b"\x00\xffmac of another", NOW, NOW)
        await store.add_signing_key_if_absent("ES256", lambda: signing_key("one"))
        printed = repr(await store.api_keys()) + repr(await store.signing_keys())
        assert "the private key" not in printed
        assert "xffmac" not in printed
        assert "abcdefghijkl" in printed

    async def test_what_is_seen_of_a_tool_first_is_approved(self, store: Store, another: Store) -> None:
        await store.note_tools([sighting("b", "B"), sighting("a", "A", when=2.0), sighting("a", "C", server="crm")])
        generation, bare = await another.tool_pins()
        assert generation == await store.pin_generation() > 0
        assert [(pin.server, pin.tool, pin.approved, pin.seen) for pin in bare] == [
            ("crm", "a", "C", None),
            ("weather", "a", "A", None),
            ("weather", "b", "B", None),
        ]
        assert all(pin.approved_definition is None for pin in bare)  # which whoever decides need not read
        found = await another.tool_definitions("weather")
        assert found[0] == ToolPin(
            server="weather",
            tool="a",
            approved="A",
            approved_definition="the text of A",
            approved_at=2.0,
            approved_by="first sight",
        )
        assert len(found) == 2
        assert len(await store.tool_definitions()) == 3

    async def test_of_two_who_see_a_tool_first_the_later_one_has_seen_a_change(
        self, store: Store, another: Store
    ) -> None:
        await store.note_tools([sighting("a", "A")])
        await another.note_tools([sighting("a", "B", when=5.0)])
        (pin,) = await store.tool_definitions("weather")
        assert (pin.approved, pin.seen, pin.seen_definition, pin.seen_at) == ("A", "B", "the text of B", 5.0)

    async def test_what_one_worker_takes_for_a_change_and_is_approved_here_is_none(self, store: Store) -> None:
        await store.note_tools([sighting("a", "A"), sighting("a", "B"), sighting("a", "A", "later")])
        assert [(pin.approved, pin.seen) for pin in (await store.tool_pins())[1]] == [("A", None)]
        await store.note_tools([sighting("a", "B", "later"), sighting("a", "C", "later")])
        assert [(pin.approved, pin.seen) for pin in (await store.tool_pins())[1]] == [("A", "C")]

    async def test_a_lock_file_counts_whatever_is_approved_here(self, store: Store) -> None:
        await store.note_tools([sighting("a", "A"), sighting("a", "A", "not_locked")])
        assert [(pin.approved, pin.seen) for pin in (await store.tool_pins())[1]] == [("A", "A")]
        await store.note_tools([sighting("a", "B", "locked")])
        assert [(pin.approved, pin.seen) for pin in (await store.tool_pins())[1]] == [("A", None)]

    async def test_a_change_stays_until_it_is_approved_or_gone(self, store: Store, another: Store) -> None:
        await store.note_tools([sighting("a", "A"), sighting("a", "B", "later", 2.0)])
        await another.note_tools([sighting("a", "B", "later", 3.0)])
        assert [(pin.seen, pin.seen_at) for pin in (await store.tool_pins())[1]] == [("B", 2.0)]
        await another.note_tools([sighting("a", "A", "later", 4.0)])
        (pin,) = await store.tool_definitions()
        assert (pin.approved, pin.seen, pin.seen_definition, pin.seen_at) == ("A", None, None, None)

    async def test_what_was_seen_last_can_be_approved_and_nothing_else(self, store: Store, another: Store) -> None:
        await store.note_tools([sighting("a", "A"), sighting("b", "A"), sighting("c", "C", "later")])
        await store.note_tools([sighting("a", "B", "later"), sighting("b", "B", "later")])
        seen = {"a": "B", "b": "an earlier one", "c": "C", "d": "B"}
        assert await another.approve_tools("crm", seen, 9.0) == frozenset()
        assert await another.approve_tools("weather", seen, 9.0) == {"a", "c"}
        a, b, c = await store.tool_definitions("weather")
        assert (a.approved, a.approved_definition, a.approved_at, a.approved_by) == (
            "B",
            "the text of B",
            9.0,
            "command",
        )
        assert (a.seen, a.seen_definition) == (None, None)
        assert (b.approved, b.seen) == ("A", "B")
        assert (c.approved, c.seen) == ("C", None)

    async def test_what_nobody_approved_is_not_approved_by_being_seen_as_changed(self, store: Store) -> None:
        """A lock file decides there, which the store knows nothing of."""
        await store.note_tools([sighting("a", "B", "later")])
        assert [(pin.approved, pin.seen) for pin in (await store.tool_pins())[1]] == [(None, "B")]

    async def test_every_change_of_what_is_known_of_tools_moves_their_generation_on_and_no_other(
        self, store: Store, another: Store
    ) -> None:
        keys = await store.generation()
        moves: list[int] = [await another.pin_generation()]
        for noted in ([sighting("a", "A")], [sighting("a", "B", "later")], [sighting("a", "A", "later")]):
            await store.note_tools(noted)
            moves.append(await another.pin_generation())
            await store.note_tools(noted)
            assert await another.pin_generation() == moves[-1]
        await store.note_tools([sighting("a", "B", "later")])
        before = await store.pin_generation()
        await store.approve_tools("weather", {"a": "C"}, 9.0)
        assert await store.pin_generation() == before
        await store.approve_tools("weather", {"a": "B"}, 9.0)
        moves += [before, await store.pin_generation()]
        assert moves == sorted(set(moves))
        assert await store.generation() == keys

    @pytest.mark.parametrize("tool", ["' OR 1=1 --", "%", "", "a\x00", "A", "\N{SNOWMAN}" * 100])
    async def test_a_03_only_the_very_name_is_a_tools(self, store: Store, tool: str) -> None:
        await store.note_tools([sighting("a", "A"), sighting("a", "B", "later")])
        assert await store.approve_tools("weather", {tool: "B"}, 9.0) == frozenset()
        await store.note_tools([sighting(tool, "T")])
        assert {pin.tool: pin.approved for pin in (await store.tool_pins())[1]} == {"a": "A", tool: "T"}
