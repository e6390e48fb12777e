"""The invariants of the protocol, I1 to I16, each with a property and a fault.

I7, I8 and I9 (no plaintext, exact recipients, nothing left after the removal) belong to the file itself:
tests/surfaces/ceremony. The file's side of I10 and I13 is there as well. I16 is in test_receipts.py.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain import ceremonies
from freehold.domain.administrators import (
    Administrator,
    FreshAuthenticationNeeded,
    RoleTooLow,
    SignInNeeded,
    change_role,
    end_sessions_of,
    set_blocked,
)
from freehold.domain.audit import Witnesses
from freehold.domain.ceremonies import Ceremony, Incomplete, WrongState, policy, request, states
from freehold.domain.ceremonies.people import NotASecondPerson, NotYours
from freehold.domain.ceremonies.pieces import of_kind, pieces_of
from freehold.domain.ceremonies.proofs import CodeRefused
from freehold.kernel.clock import FakeClock
from freehold.kernel.errors import Conflict, Forbidden, FreeholdError, TooManyRequests, Unavailable
from tests.support.ceremonies import Hall, NoRoom, armored, fill_up

sqlite_only = pytest.mark.parametrize("database", ["sqlite"], scope="session")
A_REQUEST = request.Request(
    tenant_id="t_1", tenant="acme", domain="acme.test", ceremony_id="cer_1", revision=1, kinds=("password_hashes",),
    connections=("one",), purpose="Moving away", needed_by="2026-12-31",
    recipients=(
        request.NamedRecipient(email="a@x.test", fingerprint="AB" * 20, sha256="00" * 32, subkeys=("CD" * 20,)),
    ),
    requester=request.Person(id="adm_1", name="Ada", email="a@x.test"),
    executive=request.NamedExecutive(id="exe_1", name="Grace", title="CSO", email="g@x.test"), language="en",
    retention_days=7, download_limit=3, nonce="00" * 16, policy=policy.STRICT.snapshot,
    created_at="2026-01-01T00:00:00.000Z",
)  # fmt: skip


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=30)
NUMBER = st.integers(0, 1 << 40)
OTHER: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(
        ("tenant_id", "tenant", "domain", "ceremony_id", "purpose", "language", "nonce", "created_at"), TEXT
    ),
    **dict.fromkeys(("revision", "retention_days", "download_limit"), NUMBER),
    "needed_by": st.none() | TEXT,
    "kinds": st.lists(st.sampled_from(request.KINDS), unique=True).map(tuple),
    "connections": st.lists(TEXT, max_size=3).map(tuple),
    "recipients": st.lists(
        st.builds(request.NamedRecipient, email=TEXT, fingerprint=TEXT, sha256=TEXT, subkeys=st.tuples(TEXT)),
        max_size=2,
    ).map(tuple),
    "requester": st.builds(request.Person, id=TEXT, name=TEXT, email=TEXT),
    "executive": st.builds(request.NamedExecutive, id=TEXT, name=TEXT, title=TEXT, email=TEXT),
    "policy": st.dictionaries(TEXT, NUMBER | st.booleans(), max_size=3),
}


async def count(hall: Hall, table: str) -> int:
    row = await hall.store.one(f"select count(*) from {table} where tenant_id = :id", id=hall.tenant.id)
    assert row is not None
    return int(row[0])


class TestI1OnlyWithAllEvidence:
    """A file exists only if all evidence for its exact digest is stored, and valid when it is built."""

    @sqlite_only
    async def test_nothing_is_prepared_before_the_last_piece(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        for at in ("possess", "authorize", "approve", "sign"):
            ceremony = await hall.at(at, ada, bob)
            with pytest.raises(WrongState):
                await hall.build(ceremony)
            with pytest.raises(Incomplete):
                await ceremonies.check_complete(hall.store, hall.tenant, ceremony, hall.clock.now())
            await ceremonies.cancel(await hall.attempt(ada), ceremony.id)
        assert await hall.store.all("select 1 from work_queue where topic = 'ceremony.build'") == []

    @sqlite_only
    @pytest.mark.parametrize("kind", ["recipient_key", "possession", "authorization", "approval", "form", "signature"])
    async def test_a_piece_that_is_gone_or_of_another_digest_stops_the_build(
        self, hall: Hall, ada: Administrator, bob: Administrator, kind: str
    ) -> None:
        ceremony = await hall.at("preparing", ada, bob)
        await hall.store.run("update ceremony_evidence set digest = 'ff' where kind = :kind", kind=kind)
        with pytest.raises(Incomplete) as refused:
            await hall.build(ceremony)
        assert refused.value.code == "foreign_evidence"
        await hall.store.run("delete from ceremony_evidence where kind = :kind", kind=kind)
        with pytest.raises(Incomplete):
            await hall.build(ceremony)
        assert (await hall.get(ceremony)).artefact is None

    @sqlite_only
    async def test_what_becomes_invalid_while_it_waits_ends_it(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_waiting_for=("always",), ceremony_waiting_h=24)
        ceremony = await hall.at("waiting", ada, bob)
        async with hall.store.transaction() as tx:
            await set_blocked(tx, hall.tenant, bob.id, blocked=True)
        await hall.reconcile()
        ended = await hall.get(ceremony)

        assert (ended.state, ended.artefact) == ("failed", None)


class TestI2DistinctPeople:
    """Requester, approvers and executive are different people."""

    @sqlite_only
    async def test_nobody_confirms_their_own_request(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        ceremony = await hall.at("approve", ada, bob)
        with pytest.raises(NotYours):
            await hall.approve(ada, ceremony)

    @sqlite_only
    async def test_the_same_mailbox_is_the_same_person(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        second = await hall.administrator("ada+two")
        ceremony = await hall.at("approve", ada, bob)
        with pytest.raises(NotASecondPerson, match="same e-mail"):
            await hall.approve(second, ceremony)

    @sqlite_only
    async def test_an_account_that_the_requester_made_lately_is_not_another_person(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_second_person_min_age_h=72)
        hall.clock.advance(seconds=80 * 3600)
        made = await hall.administrator("carl", created_by=ada.id)
        ceremony = await hall.at("approve", ada, bob)
        with pytest.raises(NotASecondPerson, match="invited"):
            await hall.approve(made, ceremony)

    @sqlite_only
    async def test_of_two_confirmations_by_one_person_one_counts(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_threshold=2)
        ceremony = await hall.at("approve", ada, bob)
        once = await hall.approve(bob, ceremony)
        with pytest.raises(FreeholdError):
            await hall.approve(bob, once)
        after = await hall.sign(ada, await hall.get(once))
        assert after.state == "requirements_pending"
        assert (await hall.approve(await hall.administrator("carl"), after)).state == "preparing"

    @sqlite_only
    async def test_the_executive_is_nobody_else_of_the_ceremony(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        await hall.enrol(bob.email)
        ceremony = await hall.at("sign", ada, bob)
        attempt = await hall.attempt(ada)
        with pytest.raises(Incomplete) as refused:
            await ceremonies.upload_form(attempt, ceremony.id, "openpgp", await hall.signed(ceremony, bob.email))
        assert refused.value.code == "executive_not_distinct"
        await hall.enrol(ada.email)
        with pytest.raises(FreeholdError, match="another person"):
            await hall.draft(ada)


class TestI3AnyChangeVoids:
    """Changing any field of the request voids all evidence."""

    @given(st.sampled_from(sorted(OTHER)), st.data())
    def test_every_field_is_in_the_digest(self, name: str, data: st.DataObject) -> None:
        other = data.draw(OTHER[name].filter(lambda value: value != getattr(A_REQUEST, name)))
        changed = msgspec.structs.replace(A_REQUEST, **{name: other})

        assert request.digest(changed) != request.digest(A_REQUEST)
        assert set(OTHER) == set(request.Request.__struct_fields__) - {"v", "type"}

    @given(TEXT)
    def test_a_request_has_one_spelling(self, purpose: str) -> None:
        made = msgspec.structs.replace(A_REQUEST, purpose=purpose)
        assert request.parsed(request.canonical(made)) == made
        with pytest.raises(FreeholdError):
            request.parsed(request.canonical(made).replace(b":", b": ", 1))

    @sqlite_only
    async def test_a_change_voids_everything_and_makes_another_digest(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("sign", ada, bob)
        signed = await hall.signed(ceremony)
        changed = await ceremonies.change(
            await hall.attempt(ada), ceremony.id, hall.given(ada, purpose="Moving to yet another one")
        )
        left = await pieces_of(hall.store, hall.tenant, changed)

        assert (changed.state, changed.revision) == ("draft", 2)
        assert changed.digest != ceremony.digest
        assert [piece.kind for piece in left] == ["recipient_key"], "that of the new request"
        assert all(piece.digest == changed.digest for piece in left)
        again = await hall.submit(ada, changed)
        again = await hall.possess(ada, again)
        with pytest.raises(FreeholdError):
            await ceremonies.upload_form(await hall.attempt(ada), again.id, "openpgp", signed)


class TestI4EvidenceIsOfOneCeremony:
    """Evidence of one ceremony, tenant, kind or decision is never accepted for another."""

    @sqlite_only
    async def test_words_codes_and_signatures_of_another_ceremony_are_refused(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        first = await hall.at("possess", ada, bob)
        words = await hall.words(first)
        await ceremonies.cancel(await hall.attempt(ada), first.id)
        second = await hall.at("possess", ada, bob)
        with pytest.raises(Forbidden, match="not the word"):
            await ceremonies.possess(await hall.attempt(ada), second.id, words)
        await hall.possess(ada, second)
        with pytest.raises(FreeholdError, match="exactly"):
            await ceremonies.authorize(
                await hall.attempt(ada), second.id, tenant_name="acme",
                text=ceremonies.authorization_text(first.request),
            )  # fmt: skip
        with pytest.raises(FreeholdError, match="groups"):
            await ceremonies.decide(
                await hall.attempt(bob), second.id, "approve", code=hall.code(bob),
                digest_groups=ceremonies.groups(bytes.fromhex(first.digest)),
            )  # fmt: skip

    @sqlite_only
    async def test_a_code_counts_once(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        hall.configure(ceremony_threshold=2)
        ceremony = await hall.at("approve", ada, bob)
        code, attempt = hall.code(bob), await hall.attempt(bob)
        groups = ceremonies.groups(bytes.fromhex(ceremony.digest))
        await ceremonies.decide(attempt, ceremony.id, "approve", code=code, digest_groups=groups)
        carl = await hall.administrator("carl")
        with pytest.raises(CodeRefused):
            await ceremonies.decide(await hall.attempt(carl), ceremony.id, "approve", code=code, digest_groups=groups)

    @sqlite_only
    async def test_words_cannot_be_guessed(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        ceremony = await hall.at("possess", ada, bob)
        for _ in range(5):
            with pytest.raises(Forbidden):
                await ceremonies.possess(await hall.attempt(ada), ceremony.id, ["AAAA-AAAA-AAAA-AAAA-AAAA"])
        with pytest.raises(TooManyRequests):
            await ceremonies.possess(await hall.attempt(ada), ceremony.id, await hall.words(ceremony))

    @sqlite_only
    async def test_another_tenants_ceremony_is_not_there(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("approve", ada, bob)
        other = await hall.tenants.create("other", "other.test")
        with pytest.raises(ceremonies.UnknownCeremony):
            await ceremonies.get_ceremony(hall.store, other, ceremony.id)


class TestI5One:
    """At most one active ceremony per tenant, one file per ceremony, one terminal state."""

    def test_no_step_leads_out_of_a_terminal_state(self) -> None:
        assert not any(step.sources & states.TERMINAL for step in states.STEPS.values())
        reached = {step.target for step in states.STEPS.values()} | {"draft"}
        assert reached == set(states.State.__args__)  # type: ignore[attr-defined]

    def test_a_file_goes_only_through_its_destruction(self) -> None:
        for step in states.STEPS.values():
            if step.sources & states.WITH_FILE:
                assert step.target in {"downloaded", "expired"}, step.name

    async def test_of_several_submitted_at_once_one_begins(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        drafts = [await hall.draft(ada) for _ in range(3)]
        attempts = [await hall.attempt(ada) for _ in drafts]
        outcomes = await asyncio.gather(
            *(ceremonies.submit(attempt, one.id) for attempt, one in zip(attempts, drafts, strict=True)),
            return_exceptions=True,
        )
        begun = [one for one in outcomes if isinstance(one, Ceremony)]

        assert len(begun) == 1
        assert {one.code for one in outcomes if isinstance(one, FreeholdError)} == {"another_is_active"}
        assert await hall.log_is_whole()

    async def test_of_two_confirmations_at_once_each_counts_once(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        carl = await hall.administrator("carl")
        ceremony = await hall.at("approve", ada, bob)
        groups = ceremonies.groups(bytes.fromhex(ceremony.digest))
        made = [(await hall.attempt(person), hall.code(person)) for person in (bob, carl)]
        codes = [(made[0][0], hall._code(bob.id)), (made[1][0], hall._code(carl.id))]
        outcomes = await asyncio.gather(
            *(ceremonies.decide(a, ceremony.id, "approve", code=c, digest_groups=groups) for a, c in codes),
            return_exceptions=True,
        )
        approvals = of_kind(await pieces_of(hall.store, hall.tenant, ceremony), "approval")

        assert len(approvals) == sum(isinstance(one, Ceremony) for one in outcomes) >= 1
        assert all(isinstance(one, Ceremony | Conflict) for one in outcomes)
        assert [a for a in await hall.actions(ceremony) if a == "ceremony.approve"] == ["ceremony.approve"] * len(
            approvals
        )

    async def test_of_two_files_one_is_taken(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        ceremony = await hall.at("preparing", ada, bob)
        outcomes = await asyncio.gather(hall.build(ceremony), hall.build(ceremony), return_exceptions=True)
        assert sum(isinstance(one, Ceremony) for one in outcomes) == 1
        assert (await hall.actions(ceremony)).count("ceremony.finish_build") == 1


class TestI6StepAndEntry:
    """No transition without its audit entry, no audit entry without its transition."""

    @sqlite_only
    @pytest.mark.parametrize("at", ["draft", "possess", "authorize", "approve", "sign", "preparing", "ready"])
    async def test_without_another_place_for_the_entry_nothing_happens(
        self, hall: Hall, ada: Administrator, bob: Administrator, at: str
    ) -> None:
        ceremony = await hall.at(at, ada, bob)
        signed = await hall.signed(ceremony) if at == "sign" else b""
        words = await hall.words(ceremony) if at == "possess" else []
        attempt, other, code = await hall.attempt(ada), await hall.attempt(bob), hall.code(bob)
        steps: dict[str, Callable[[], Awaitable[Any]]] = {
            "draft": lambda: ceremonies.submit(attempt, ceremony.id),
            "possess": lambda: ceremonies.possess(attempt, ceremony.id, words),
            "authorize": lambda: ceremonies.authorize(
                attempt, ceremony.id, tenant_name="acme", text=ceremonies.authorization_text(ceremony.request)
            ),
            "approve": lambda: ceremonies.decide(
                other, ceremony.id, "approve", code=code,
                digest_groups=ceremonies.groups(bytes.fromhex(ceremony.digest)),
            ),
            "sign": lambda: ceremonies.upload_form(attempt, ceremony.id, "openpgp", signed),
            "preparing": lambda: hall.build(ceremony),
            "ready": lambda: hall.download(ada, ceremony),
        }  # fmt: skip
        pieces, entries = await count(hall, "ceremony_evidence"), await count(hall, "audit_entries")
        fill_up(hall)
        with pytest.raises(Unavailable):
            await steps[at]()

        assert await hall.get(ceremony) == ceremony
        assert await count(hall, "ceremony_evidence") == pieces
        assert await count(hall, "audit_entries") == entries

    @sqlite_only
    async def test_the_entries_are_the_way_that_was_gone(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("downloaded", ada, bob)
        state = ""
        for entry in await hall.log(ceremony):
            details = msgspec.json.decode(entry.details)
            if "from" in details:
                assert details["from"] == state
            state = details.get("to", state)
            assert "relaxed" in details or entry.action in {"ceremony.draft", "ceremony.refused"}
        assert state == ceremony.state

    @sqlite_only
    async def test_a_refused_attempt_is_in_the_log(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        ceremony = await hall.at("approve", ada, bob)
        with pytest.raises(NotYours):
            await hall.approve(ada, ceremony)
        last = (await hall.log(ceremony))[-1]
        assert last.action == "ceremony.refused"
        assert last.actor.id == ada.id
        assert msgspec.json.decode(last.details) == {"step": "approve", "code": "not_yours"}


class TestI10NothingTooEarlyOrTooLate:
    """Nothing is released before it is ready or after the retention, whatever the clock does."""

    @sqlite_only
    async def test_there_is_nothing_before_ready_and_after_the_retention(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("preparing", ada, bob)
        with pytest.raises(ceremonies.Gone):
            ceremonies.check_available(hall.tenant, ceremony)
        ready = await hall.build(ceremony)
        ceremonies.check_available(hall.tenant, ready)
        hall.clock.advance(seconds=7 * 86_400)
        with pytest.raises(ceremonies.Gone):
            ceremonies.check_available(hall.tenant, ready)

    @sqlite_only
    async def test_setting_the_clock_forward_ends_no_waiting(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_waiting_for=("always",), ceremony_waiting_h=72)
        ceremony = await hall.at("waiting", ada, bob)
        await hall.reconcile()
        hall.clock.jump(seconds=73 * 3600)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "waiting"
        with pytest.raises(Conflict) as refused:
            await hall.draft(ada)
        assert refused.value.code == "clock_jumped"
        assert await ceremonies.confirm_clock(hall.store, hall.tenant)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "waiting", "the steady clock has not reached it either"
        hall.clock.advance(seconds=72 * 3600)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "preparing"

    @sqlite_only
    async def test_a_frozen_ceremony_can_still_be_ended(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("approve", ada, bob)
        hall.clock.jump(seconds=-3600)
        with pytest.raises(FreeholdError):
            await hall.approve(bob, ceremony)
        done = await ceremonies.cancel(await hall.attempt(bob), ceremony.id)
        assert done.state == "cancelled"

    @sqlite_only
    async def test_the_retention_ends_although_the_server_was_down(
        self, hall: Hall, ada: Administrator, bob: Administrator, clock: FakeClock
    ) -> None:
        ceremony = await hall.at("ready", ada, bob)
        clock.advance(seconds=30 * 86_400)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "expired"
        queued = await hall.store.all("select payload from work_queue where topic = 'ceremony.destroy'")
        assert [bytes(row[0]).decode() for row in queued] == [ceremony.id]


class TestI11CheckedWhenActing:
    """Role, block and key are looked at when somebody acts."""

    @sqlite_only
    async def test_who_lost_the_role_or_was_blocked_or_signed_out_can_do_nothing(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        carl = await hall.administrator("carl")
        ceremony = await hall.at("approve", ada, bob)
        for change, error in (
            (lambda tx: end_sessions_of(tx, hall.tenant, carl.id), SignInNeeded),
            (lambda tx: change_role(tx, hall.tenant, carl.id, "editor"), RoleTooLow),
            (lambda tx: set_blocked(tx, hall.tenant, carl.id, blocked=True), SignInNeeded),
        ):
            attempt, code = await hall.attempt(carl), hall.code(carl)
            async with hall.store.transaction() as tx:
                await change(tx)
            with pytest.raises(error):
                await ceremonies.decide(
                    attempt, ceremony.id, "approve", code=code,
                    digest_groups=ceremonies.groups(bytes.fromhex(ceremony.digest)),
                )  # fmt: skip

    @sqlite_only
    async def test_a_confirmation_by_somebody_demoted_since_does_not_count(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        carl = await hall.administrator("carl")
        ceremony = await hall.at("sign", ada, bob)
        async with hall.store.transaction() as tx:
            await change_role(tx, hall.tenant, bob.id, "viewer")
        signed = await hall.sign(ada, ceremony)
        assert signed.state == "requirements_pending"
        assert (await hall.approve(carl, signed)).state == "preparing"

    @sqlite_only
    async def test_a_requester_who_is_gone_takes_the_build_along(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("preparing", ada, bob)
        async with hall.store.transaction() as tx:
            await change_role(tx, hall.tenant, ada.id, "viewer")
        with pytest.raises(Incomplete) as refused:
            await hall.build(ceremony)
        assert refused.value.code == "requester_gone"

    @sqlite_only
    async def test_a_policy_that_became_stricter_holds(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("sign", ada, bob)
        hall.configure(ceremony_threshold=2)
        assert (await hall.sign(ada, ceremony)).state == "requirements_pending"

    @sqlite_only
    async def test_the_rules_of_eligibility(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        for changes, code in (
            ({"ceremony_requester_min_age_h": 168}, "too_new"),
            ({"ceremony_cool_down_h": 24}, "factors_too_new"),
        ):
            before = hall.settings
            hall.configure(**changes)
            done = await hall.submit(ada, await hall.draft(ada))
            details = msgspec.json.decode((await hall.log(done))[-1].details)
            assert (done.state, details["code"]) == ("rejected", code)
            hall.settings = before
        hall.configure(ceremony_offered=("enterprise",))
        with pytest.raises(ceremonies.NotOffered):
            await hall.draft(ada)
        hall.configure(ceremony_plans=("acme:enterprise",))
        assert (await hall.draft(ada)).state == "draft"
        hall.configure(ceremony_locked=("acme",))
        with pytest.raises(ceremonies.NotOffered):
            await hall.draft(ada)

    @sqlite_only
    async def test_alone_nobody_exports(self, hall: Hall, ada: Administrator) -> None:
        done = await hall.submit(ada, await hall.draft(ada))
        assert done.state == "rejected"
        assert "second administrator" in done.reason

    @sqlite_only
    async def test_new_keys_and_new_approvers_make_it_wait(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_waiting_for=("new_key", "new_approver"), ceremony_waiting_h=72)
        ceremony = await hall.at("waiting", ada, bob)
        details = [msgspec.json.decode(e.details) for e in await hall.log(ceremony) if e.action == "ceremony.wait"]
        assert details[0]["reasons"] == ["new_approver", "new_key"]


class TestI12EverybodyLearns:
    """Every administrator learns of every request, approval, ready, download and destruction."""

    def test_the_table_tells_of_each(self) -> None:
        silent = {name for name, step in states.STEPS.items() if not step.notice}
        assert silent == {"change", "review", "pass_review", "complete", "prepare", "expire"}

    @sqlite_only
    async def test_nobody_can_be_left_out_but_who_is_blocked(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        await hall.administrator("vera", "viewer")
        blocked = await hall.administrator("otto")
        async with hall.store.transaction() as tx:
            await set_blocked(tx, hall.tenant, blocked.id, blocked=True)
        await hall.at("possess", ada, bob)
        await hall.run_jobs()
        rows = await hall.store.all("select recipient from mails")
        assert {row[0] for row in rows} == {"ada@acme.test", "bob@acme.test", "vera@acme.test"}

    @sqlite_only
    async def test_a_waiting_export_is_brought_to_mind_daily(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_waiting_for=("always",), ceremony_waiting_h=72)
        ceremony = await hall.at("waiting", ada, bob)
        for _ in range(3):
            hall.clock.advance(seconds=86_400 / 2)
            await hall.reconcile()
        assert (await hall.actions(ceremony)).count("ceremony.reminder") == 1


class TestI13Reconciling:
    """Whatever a crash left, a round leads to a legal state, and a second round changes nothing."""

    @sqlite_only
    @pytest.mark.parametrize("at", ["draft", "possess", "sign", "preparing", "ready", "downloaded"])
    async def test_a_round_is_idempotent(self, hall: Hall, ada: Administrator, bob: Administrator, at: str) -> None:
        ceremony = await hall.at(at, ada, bob)
        await hall.reconcile()
        once = await hall.get(ceremony)
        await asyncio.gather(hall.reconcile(), hall.reconcile())
        assert await hall.get(ceremony) == once == ceremony

    @sqlite_only
    async def test_lost_work_is_ordered_again(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        ceremony = await hall.at("preparing", ada, bob)
        await hall.store.run("delete from work_queue")
        await hall.reconcile()
        await hall.reconcile()
        assert await hall.store.all("select topic from work_queue") == [("ceremony.build",)]
        hall.clock.advance(seconds=6 * 3600)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "failed"

    @sqlite_only
    @pytest.mark.parametrize(("at", "days"), [("draft", 1), ("possess", 14), ("sign", 14)])
    async def test_what_nobody_goes_on_with_expires(
        self, hall: Hall, ada: Administrator, bob: Administrator, at: str, days: int
    ) -> None:
        ceremony = await hall.at(at, ada, bob)
        hall.clock.advance(seconds=days * 86_400)
        await hall.reconcile()
        ended = await hall.get(ceremony)
        assert (ended.state, ended.is_active) == ("expired", False)

    @sqlite_only
    async def test_a_ceremony_that_came_with_an_archive_ends(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("ready", ada, bob)
        await hall.store.run("delete from ceremony_homes")
        with pytest.raises(Conflict):
            await ceremonies.cancel(await hall.attempt(ada), ceremony.id)
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "destroyed"

    @sqlite_only
    async def test_a_round_that_finds_no_place_for_the_entry_comes_again(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("ready", ada, bob)
        hall.clock.advance(seconds=8 * 86_400)
        assert isinstance(hall.tenant.witness, Witnesses)
        working, hall.tenant.witness.sinks = hall.tenant.witness.sinks, [NoRoom()]
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "ready"
        with pytest.raises(ceremonies.Gone):
            ceremonies.check_available(hall.tenant, ceremony)
        hall.tenant.witness.sinks = working
        await hall.reconcile()
        assert (await hall.get(ceremony)).state == "expired"


class TestI14PeopleOnly:
    """What is not a person who showed two factors minutes ago can do nothing; machines are tested over HTTP."""

    @sqlite_only
    async def test_a_password_alone_or_an_old_confirmation_is_not_enough(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        weak = await hall.attempt(ada, mfa=False)
        with pytest.raises(FreshAuthenticationNeeded):
            await ceremonies.draft(weak, hall.given(ada))
        old = await hall.attempt(ada)
        hall.clock.advance(seconds=301)
        with pytest.raises(FreshAuthenticationNeeded):
            await ceremonies.draft(old, hall.given(ada))

    @sqlite_only
    @pytest.mark.parametrize("role", ["editor", "viewer"])
    async def test_lesser_roles_do_nothing(self, hall: Hall, ada: Administrator, bob: Administrator, role: Any) -> None:
        lesser = await hall.administrator("lea", role)
        ceremony = await hall.at("approve", ada, bob)
        with pytest.raises(RoleTooLow):
            await hall.approve(lesser, ceremony)
        with pytest.raises(RoleTooLow):
            await ceremonies.cancel(await hall.attempt(lesser), ceremony.id)
        with pytest.raises(RoleTooLow):
            await hall.draft(lesser, recipients=(ceremonies.GivenRecipient(key=armored(lesser.email)),))

    @sqlite_only
    async def test_a_session_that_somebody_made_up_is_none(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        real = await hall.attempt(ada)
        forged = msgspec.structs.replace(
            real,
            acting=msgspec.structs.replace(
                real.acting, session=msgspec.structs.replace(real.acting.session, id="ads_x")
            ),
        )
        with pytest.raises(SignInNeeded):
            await ceremonies.draft(forged, hall.given(ada))


class TestI15Repeating:
    """Repeating a call with its idempotency key has no further effect."""

    async def test_a_repeated_step_happens_once(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        given = hall.given(ada)
        attempt = await hall.attempt(ada, key="one")
        first = await ceremonies.draft(attempt, given)
        again = await ceremonies.draft(attempt, given)
        assert first == again
        assert await count(hall, "ceremonies") == 1
        step = await hall.attempt(ada, key="two")
        done = await ceremonies.submit(step, first.id)
        before = await hall.actions(first)
        assert await ceremonies.submit(step, first.id) == done
        assert await hall.actions(first) == before
        with pytest.raises(Conflict):
            await ceremonies.cancel(step, first.id)

    async def test_two_at_once_with_one_key_are_one(self, hall: Hall, ada: Administrator, bob: Administrator) -> None:
        given, attempt = hall.given(ada), await hall.attempt(ada, key="one")
        outcomes = await asyncio.gather(
            ceremonies.draft(attempt, given), ceremonies.draft(attempt, given), return_exceptions=True
        )
        assert all(isinstance(one, Ceremony | Conflict) for one in outcomes)
        assert await count(hall, "ceremonies") == 1

    @sqlite_only
    async def test_without_a_key_the_table_of_steps_refuses_a_second_time(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("possess", ada, bob)
        with pytest.raises(WrongState):
            await hall.submit(ada, ceremony)
