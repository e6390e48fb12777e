"""Our own password hashes: what a password may be, which ones are the same, and when a hash is replaced."""

import asyncio
import shutil
import unicodedata
from pathlib import Path
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
from freehold.kernel.crypto.passwords import lanes as lanes_module
from freehold.kernel.crypto.passwords.bcrypt import check, matches, new_hash, run_together
from freehold.kernel.crypto.passwords.lanes import Lanes, load
from freehold.kernel.crypto.passwords.pool import PasswordPool
from freehold.kernel.errors import TooManyRequests, Unavailable

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

    async def test_who_waits_is_counted(self) -> None:
        pool = PasswordPool(1)
        tasks = [asyncio.create_task(pool.verify(DUMMY, "x")) for _ in range(4)]
        await asyncio.sleep(0)

        assert pool.waiting == 3
        await asyncio.gather(*tasks)
        assert pool.waiting == 0
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
        costs = []

        def counted(_password: bytes, setting: str) -> str:
            costs.append(setting[:7])
            return "x" * 60

        monkeypatch.setattr(passwords.bcrypt, "bcrypt_hash", counted)
        pool = PasswordPool(1)
        for stored in (MD5, DUMMY, "$2b$12$" + "a" * 53, "$2b$04$" + "a" * 53):
            assert not await pool.verify(stored, "wrong")

        assert costs == ["$2b$10$", "$2b$10$", "$2b$12$", "$2b$04$", "$2b$10$"]
        pool.close()

    async def test_nobodys_password_and_a_cheaper_hash_cost_what_the_policy_costs(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        costs = []

        def counted(_password: bytes, setting: str) -> str:
            costs.append(setting[:7])
            return "x" * 60

        monkeypatch.setattr(passwords.bcrypt, "bcrypt_hash", counted)
        pool = PasswordPool(1, policy=HashPolicy(cost=12))
        await pool.verify_nobody("wrong")
        for stored in (MD5, DUMMY, "$2b$12$" + "a" * 53):
            assert not await pool.verify(stored, "wrong")

        assert costs == ["$2b$12$", "$2b$12$", "$2b$10$", "$2b$12$", "$2b$12$"]
        assert pool.needs_rehash(DUMMY)
        pool.close()

    async def test_when_it_closes_who_waits_is_told_and_who_runs_is_answered(self) -> None:
        pool = PasswordPool(1)
        tasks = [asyncio.create_task(pool.verify(DUMMY, "x")) for _ in range(4)]
        await asyncio.sleep(0)
        pool.close()
        answers = await asyncio.gather(*tasks, return_exceptions=True)

        assert all(answer is False or isinstance(answer, Unavailable) for answer in answers)
        with pytest.raises(Unavailable):
            await pool.verify(DUMMY, "x")


@pytest.mark.skipif(not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler")
class TestTheAccelerator:
    """Several at once give what each gives alone."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        return tmp_path_factory.mktemp("accelerator")

    @pytest.fixture
    def lanes(self, folder: Path) -> Lanes:
        loaded = load(folder)
        assert loaded is not None
        return loaded

    @pytest.mark.parametrize("together", range(1, 6))
    def test_agrees_with_the_pypi_package_on_every_length(self, lanes: Lanes, together: int) -> None:
        lengths = [*range(73), 80]
        for start in range(0, len(lengths), together):
            batch = [
                new_hash(bytes((7 * length + n) % 256 for n in range(length)), cost=4)
                for length in lengths[start : start + together]
            ]
            expected = [bcrypt.hashpw(one.password[:72], one.setting.encode()).decode() for one in batch]

            assert run_together(batch, lanes) == expected

    @pytest.mark.parametrize("version", ["2a", "2b", "2y"])
    def test_checks_every_version(self, lanes: Lanes, version: str) -> None:
        stored = hash_password("right", QUICK).replace("$2b$", f"${version}$")
        batch = [check(stored, b"right"), check(stored, b"wrong")]

        assert [matches(stored, computed) for computed in run_together(batch, lanes)] == [True, False]

    def test_six_at_once_is_more_than_there_is_code_for(self, lanes: Lanes) -> None:
        with pytest.raises(ValueError, match="6 lanes"):
            run_together([new_hash(b"x", cost=4)] * 6, lanes)

    async def test_a_pool_answers_everybody_rightly(self, folder: Path) -> None:
        pool = PasswordPool(2)
        assert pool.accelerate(folder)
        stored = await asyncio.gather(*(pool.hash(f"password {n}", QUICK) for n in range(12)))
        plain = [hash_password("right", HashPolicy(cost=10)), DUMMY]
        answers = await asyncio.gather(*(pool.verify(plain[n % 2], "right") for n in range(14)))

        assert all(verify(one, f"password {n}") for n, one in enumerate(stored))
        assert answers == [n % 2 == 0 for n in range(14)]
        pool.close()

    async def test_a_pool_loads_it_when_the_first_queue_forms(self, folder: Path) -> None:
        pool = PasswordPool(1, accelerator_folder=folder)
        await pool.verify(DUMMY, "alone")
        assert not pool.is_accelerated

        for _ in range(1000):
            await asyncio.gather(*(pool.hash("x", QUICK) for _ in range(4)))
            if pool.is_accelerated:
                break
        assert pool.is_accelerated
        pool.close()

    async def test_jobs_of_different_cost_and_kind_share_a_queue(self, folder: Path) -> None:
        pool = PasswordPool(1)
        pool.accelerate(folder)
        policies = [QUICK, HashPolicy(cost=5), ARGON2] * 4
        stored = await asyncio.gather(*(pool.hash("right", policy) for policy in policies))

        assert all(verify(one, "right") for one in stored)
        assert [one[:7] for one in stored] == ["$2b$04$", "$2b$05$", "$argon2"] * 4
        pool.close()

    def test_code_that_others_could_change_is_not_loaded(self, folder: Path, tmp_path: Path) -> None:
        copied = tmp_path / "open"
        shutil.copytree(folder, copied)
        copied.chmod(0o777)

        assert load(copied) is None

    def test_code_that_computes_wrongly_is_not_loaded(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lanes_module, "_KNOWN_ANSWERS", ("0" * 16,) * 5)

        assert load(folder) is None

    def test_without_a_compiler_it_is_done_without(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        assert load(tmp_path / "accelerator") is None
        assert not (tmp_path / "accelerator").exists()
