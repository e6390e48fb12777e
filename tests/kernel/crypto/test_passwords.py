"""Our own password hashes: what a password may be, which ones are the same, and when a hash is replaced."""

import asyncio
import unicodedata
from typing import Literal

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.kernel.crypto import passwords
from freehold.kernel.crypto.passwords import (
    DUMMY,
    HashPolicy,
    PasswordNotUsable,
    PasswordTooLong,
    bcrypt_engine,
    check_password_length,
    hash_password,
    is_cheap,
    needs_rehash,
    parse_bcrypt,
    parse_custom_hash,
    verify,
)
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.errors import TooManyRequests

Form = Literal["NFC", "NFD"]

QUICK = HashPolicy("bcrypt", cost=4)
ARGON2 = HashPolicy("argon2id", memory_kib=64, passes=1)
MD5 = parse_custom_hash({"algorithm": "md5", "hash": {"value": "00" * 16, "encoding": "hex"}})


@pytest.mark.parametrize("policy", [QUICK, ARGON2], ids=lambda policy: policy.scheme)
class TestANewHash:
    def test_verifies_the_password_and_no_other(self, policy: HashPolicy) -> None:
        stored = hash_password("correct horse", policy)

        assert verify(stored, "correct horse")
        for other in ("correct hors", "correct horse ", "Correct horse", "", " correct horse"):
            assert not verify(stored, other)

    def test_has_a_salt_of_its_own(self, policy: HashPolicy) -> None:
        assert hash_password("same", policy) != hash_password("same", policy)

    @pytest.mark.parametrize("form", ["NFC", "NFD"])
    def test_is_the_same_for_a_password_typed_in_another_normal_form(self, policy: HashPolicy, form: Form) -> None:
        stored = hash_password(unicodedata.normalize(form, "pä́sswörd é"), policy)

        assert verify(stored, unicodedata.normalize("NFC", "pä́sswörd é"))
        assert verify(stored, unicodedata.normalize("NFD", "pä́sswörd é"))

    def test_is_the_same_for_spaces_of_another_width(self, policy: HashPolicy) -> None:
        """RFC 8265 section 4.2.2"""
        assert verify(hash_password("two words", policy), "two\u00a0words")
        assert verify(hash_password("two\u3000words", policy), "two words")

    def test_tells_apart_what_people_see_as_different(self, policy: HashPolicy) -> None:
        assert not verify(hash_password("ﬁne", policy), "fine")
        assert not verify(hash_password("①", policy), "1")

    @pytest.mark.parametrize("password", ["\0", "pass\0word", "password\0", "\ud800", "a\udfffb"])
    def test_is_not_made_of_characters_no_scheme_can_be_trusted_with(self, policy: HashPolicy, password: str) -> None:
        with pytest.raises(PasswordNotUsable):
            hash_password(password, policy)
        with pytest.raises(PasswordNotUsable):
            check_password_length(password, policy)


class TestLength:
    def test_bcrypt_takes_72_bytes_and_no_more(self) -> None:
        """Bytes, not characters: what bcrypt would cut off must not be thought to protect anybody."""
        assert verify(hash_password("x" * 72, QUICK), "x" * 72)
        assert verify(hash_password("€" * 24, QUICK), "€" * 24)
        for password in ("x" * 73, "€" * 24 + "x", "x" * 5000):
            with pytest.raises(PasswordTooLong):
                hash_password(password, QUICK)
            with pytest.raises(PasswordTooLong):
                check_password_length(password, QUICK)

    def test_the_length_that_counts_is_that_of_the_form_that_is_hashed(self) -> None:
        decomposed = unicodedata.normalize("NFD", "é" * 36)

        assert len(decomposed.encode()) > 72
        check_password_length(decomposed, QUICK)

    def test_a_longer_password_is_not_cut_to_match_a_new_hash_of_72_bytes(self) -> None:
        """It does match, because nobody can tell the hash from an imported one; so it must never be set that way."""
        stored = hash_password("x" * 72, QUICK)

        assert verify(stored, "x" * 73)

    def test_argon2_takes_4096_bytes(self) -> None:
        assert verify(hash_password("x" * 4096, ARGON2), "x" * 4096)
        assert not verify(hash_password("x" * 4096, ARGON2), "x" * 4095)
        with pytest.raises(PasswordTooLong):
            hash_password("x" * 4097, ARGON2)

    @pytest.mark.parametrize("password", ["x" * 4097, "€" * 1366, "x" * 10_000_000, "\0", "secret\0", "\ud800"])
    def test_longer_or_unusable_input_is_never_hashed(self, monkeypatch: pytest.MonkeyPatch, password: str) -> None:
        def not_reached(*_: object) -> str:
            raise AssertionError("hashed")

        monkeypatch.setattr(passwords.bcrypt, "bcrypt_hash", not_reached)

        assert not verify(DUMMY, password)


class TestNormalisation:
    def test_an_imported_hash_is_tried_with_the_password_as_typed(self) -> None:
        decomposed = unicodedata.normalize("NFD", "é")
        stored = parse_bcrypt(bcrypt.hashpw(decomposed.encode(), bcrypt.gensalt(4)).decode())

        assert verify(stored, decomposed)
        assert not verify(stored, unicodedata.normalize("NFC", "é"))

    def test_plain_ascii_is_hashed_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls = []

        def counted(password: bytes, _setting: str) -> str:
            calls.append(password)
            return "x" * 60

        monkeypatch.setattr(passwords.bcrypt, "bcrypt_hash", counted)
        verify(DUMMY, "wrong")

        assert len(calls) == 1


class TestRehashing:
    @pytest.mark.parametrize(
        ("stored", "policy", "expected"),
        [
            ("$2b$10$" + "a" * 53, HashPolicy(), False),
            ("$2a$10$" + "a" * 53, HashPolicy(), False),
            ("$2b$12$" + "a" * 53, HashPolicy(), False),
            ("$2b$09$" + "a" * 53, HashPolicy(), True),
            ("$2b$10$" + "a" * 53, HashPolicy(cost=11), True),
            ("$pre$prefix=AAAA$2b$10$" + "a" * 53, HashPolicy(), True),
            (MD5, HashPolicy(), True),
            ("$2b$10$" + "a" * 53, ARGON2, True),
            ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", ARGON2, False),
            ("$argon2id$v=19$m=32,t=9,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", ARGON2, True),
            ("$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", ARGON2, True),
            ("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", HashPolicy(), True),
        ],
    )
    def test_a_hash_is_replaced_when_it_is_of_another_scheme_or_cheaper(
        self, stored: str, policy: HashPolicy, expected: bool
    ) -> None:
        assert needs_rehash(stored, policy) is expected

    def test_a_new_hash_never_is(self) -> None:
        for policy in (QUICK, ARGON2):
            assert not needs_rehash(hash_password("x", policy), policy)


def test_the_dummy_costs_what_a_hash_of_ours_costs_and_matches_nothing() -> None:
    assert not needs_rehash(DUMMY)
    assert not is_cheap(DUMMY)
    assert not verify(DUMMY, "password")


class TestTheBcryptEngine:
    """Whatever runs here agrees with the PyPI package on every input."""

    SETTING = "$2b$04$abcdefghijklmnopqrstuu"

    @pytest.mark.parametrize("length", range(73))
    def test_on_every_length(self, length: int) -> None:
        password = bytes(1 + (position * 37 + length) % 255 for position in range(length))

        assert bcrypt_engine.bcrypt_hash(password, self.SETTING) == self.reference(password)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=100))
    def test_on_any_bytes_with_or_without_nul(self, password: bytes) -> None:
        assert bcrypt_engine.bcrypt_hash(password, self.SETTING) == self.reference(password)

    def reference(self, password: bytes) -> str:
        return bcrypt.hashpw(password[:72], self.SETTING.encode()).decode()

    def test_a_library_that_is_missing_is_not_used(self) -> None:
        assert bcrypt_engine._system_hasher("libfreehold-nowhere.so.9") is None

    def test_a_library_that_answers_wrongly_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        wrong = ((b"password", self.SETTING, self.SETTING + "a" * 31),)
        monkeypatch.setattr(bcrypt_engine, "_KNOWN_ANSWERS", wrong)

        assert all(bcrypt_engine._system_hasher(name) is None for name in bcrypt_engine._LIBRARIES)

    def test_says_which_one_it_is(self) -> None:
        assert bcrypt_engine.engine_name() in {"libxcrypt", "bcrypt"}


class TestThePool:
    async def test_hashes_and_verifies_beside_the_loop(self) -> None:
        pool = PasswordPool(2)
        stored = await pool.hash("correct horse", QUICK)

        assert await pool.verify(stored, "correct horse")
        assert not await pool.verify(stored, "wrong")
        pool.close()

    async def test_many_at_once_are_all_answered(self) -> None:
        pool = PasswordPool(2, max_waiting=100)
        stored = await pool.hash("right", QUICK)
        answers = await asyncio.gather(*(pool.verify(stored, "right" if n % 2 else "wrong") for n in range(20)))

        assert answers == [bool(n % 2) for n in range(20)]
        pool.close()

    async def test_a_full_queue_is_said_at_once_and_room_comes_back(self) -> None:
        pool = PasswordPool(1, max_waiting=2)
        stored = await pool.hash("right", QUICK)
        answers = await asyncio.gather(*(pool.verify(stored, "right") for _ in range(10)), return_exceptions=True)

        refused = [answer for answer in answers if isinstance(answer, TooManyRequests)]
        assert answers.count(True) == 3
        assert len(refused) == 7
        assert all(refusal.retry_after_s >= 1 for refusal in refused)
        assert await pool.verify(stored, "right")
        pool.close()

    async def test_a_refused_password_is_an_error_for_its_own_caller_only(self) -> None:
        pool = PasswordPool(1, max_waiting=4)
        answers = await asyncio.gather(pool.hash("x" * 73, QUICK), pool.hash("x", QUICK), return_exceptions=True)

        assert isinstance(answers[0], PasswordTooLong)
        assert verify(str(answers[1]), "x")
        pool.close()

    async def test_a_caller_who_goes_away_gives_the_place_back(self) -> None:
        pool = PasswordPool(1, max_waiting=1)
        tasks = [asyncio.create_task(pool.verify(DUMMY, "x")) for _ in range(2)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

        assert await pool.verify(await pool.hash("right", QUICK), "right")
        pool.close()

    async def test_a_wrong_password_for_a_cheap_hash_costs_one_of_ours_on_top(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """So that the time of an answer does not tell which users were imported, or exist."""
        checked = []

        def never(stored: str, _password: str) -> bool:
            checked.append(stored)
            return False

        monkeypatch.setattr(passwords, "verify", never)
        pool = PasswordPool(1)
        await pool.verify(MD5, "wrong")
        await pool.verify("$2b$10$" + "a" * 53, "wrong")

        assert checked == [MD5, DUMMY, "$2b$10$" + "a" * 53]
        pool.close()
