"""Secrets at rest: only the right key in the right place opens them, and keys can be replaced."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.kernel.crypto.sealing import (
    KEY_BYTES,
    CannotOpen,
    Keyring,
    MasterKey,
    MasterKeyError,
    Sealer,
    SealingError,
)

KEY = bytes(range(32))
PLACE = "clients/abc/client_secret"


@given(st.binary(max_size=2000), st.text(max_size=50, alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_was_sealed_opens_in_its_place(plain: bytes, context: str) -> None:
    assert Sealer(KEY).open(Sealer(KEY).seal(plain, context=context), context=context) == plain


def test_a_sealed_value_hides_its_content_and_is_new_each_time() -> None:
    sealed = [Sealer(KEY).seal(b"the secret itself", context=PLACE) for _ in range(100)]

    assert len(set(sealed)) == 100
    assert not any(b"secret" in one for one in sealed)


def test_many_are_sealed_as_each_alone_would_be() -> None:
    values, places = [b"one", b"", b"one"], ["a", "b", "c"]

    sealed = Sealer(KEY).seal_all(values, places)

    assert [Sealer(KEY).open(one, context=place) for one, place in zip(sealed, places, strict=True)] == values
    assert len({one[9:21] for one in sealed}) == 3
    with pytest.raises(CannotOpen, match="another place"):
        Sealer(KEY).open(sealed[0], context="c")
    with pytest.raises(ValueError, match="zip"):
        Sealer(KEY).seal_all(values, places[:2])


def test_a_value_moved_to_another_place_does_not_open() -> None:
    sealed = Sealer(KEY).seal(b"secret", context=PLACE)

    with pytest.raises(CannotOpen, match="another place"):
        Sealer(KEY).open(sealed, context="clients/abd/client_secret")


def test_any_changed_byte_is_noticed() -> None:
    sealed = Sealer(KEY).seal(b"secret", context=PLACE)

    for position in range(len(sealed)):
        changed = sealed[:position] + bytes([sealed[position] ^ 1]) + sealed[position + 1 :]
        with pytest.raises(CannotOpen):
            Sealer(KEY).open(changed, context=PLACE)
    for length in range(len(sealed)):
        with pytest.raises(CannotOpen):
            Sealer(KEY).open(sealed[:length], context=PLACE)


def test_another_key_does_not_open_and_the_message_names_both() -> None:
    sealed = Sealer(KEY).seal(b"secret", context=PLACE)

    with pytest.raises(CannotOpen, match=r"sealed with key [0-9a-f]{16}, and this is [0-9a-f]{16}"):
        Sealer(os.urandom(32)).open(sealed, context=PLACE)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_has_32_bytes(length: int) -> None:
    with pytest.raises(SealingError):
        Sealer(b"k" * length)


def test_a_lookup_hash_is_equal_only_for_equal_value_place_and_key() -> None:
    sealer = Sealer(KEY)
    first = sealer.lookup_hash("token", context="refresh_tokens")

    assert len(first) == 32
    assert first == Sealer(KEY).lookup_hash(b"token", context="refresh_tokens")
    others = [
        sealer.lookup_hash("tokem", context="refresh_tokens"),
        sealer.lookup_hash("stoken", context="refresh_token"),
        sealer.lookup_hash("token", context="codes"),
        Sealer(b"k" * 32).lookup_hash("token", context="refresh_tokens"),
    ]
    assert first not in others


class TestKeyring:
    def test_a_data_key_is_wrapped_and_unwrapped(self) -> None:
        keyring = Keyring(MasterKey([KEY]))
        data_key = keyring.new_data_key()
        wrapped = keyring.wrap(data_key, context="tenant-1")

        assert len(data_key) == KEY_BYTES
        assert data_key not in wrapped
        assert keyring.unwrap(wrapped, context="tenant-1") == data_key
        with pytest.raises(CannotOpen):
            keyring.unwrap(wrapped, context="tenant-2")

    def test_a_wrapped_key_is_no_sealed_value(self) -> None:
        keyring = Keyring(MasterKey([KEY]))
        wrapped = keyring.wrap(keyring.new_data_key())

        with pytest.raises(CannotOpen):
            Sealer(KEY).open(wrapped, context="")

    def test_after_a_rotation_old_keys_open_and_the_new_one_wraps(self) -> None:
        old, both = Keyring(MasterKey([KEY])), Keyring(MasterKey([KEY, b"n" * 32]))
        data_key = old.new_data_key()
        wrapped = old.wrap(data_key)

        assert both.unwrap(wrapped) == data_key
        assert both.needs_rewrap(wrapped)
        assert not both.needs_rewrap(both.wrap(data_key))
        with pytest.raises(CannotOpen, match="lacks the key"):
            old.unwrap(both.wrap(data_key))

    def test_junk_is_refused(self) -> None:
        for junk in (b"", b"\x01", os.urandom(100)):
            with pytest.raises(CannotOpen):
                Keyring(MasterKey([KEY])).unwrap(junk)


class TestTheMasterKeyFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "keys" / "master.key"

    def test_is_made_once_and_only_for_its_owner(self, path: Path) -> None:
        first = MasterKey.load_or_create(path)

        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert MasterKey.load_or_create(path).keys == first.keys == MasterKey.load(path).keys
        assert [file.name for file in path.parent.iterdir()] == ["master.key"]

    def test_made_by_many_at_once_is_one(self, path: Path) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: MasterKey.load_or_create(path).keys, range(32)))

        assert len(set(made)) == 1
        assert [file.name for file in path.parent.iterdir()] == ["master.key"]

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620, 0o601])
    def test_is_refused_when_others_could_read_or_change_it(self, path: Path, mode: int) -> None:
        MasterKey.load_or_create(path)
        path.chmod(mode)

        with pytest.raises(MasterKeyError, match="mode 600"):
            MasterKey.load_or_create(path)

    def test_is_missed_by_name(self, path: Path) -> None:
        with pytest.raises(MasterKeyError, match="no master key file"):
            MasterKey.load(path)

    def test_keeps_the_old_key_when_a_new_one_is_added(self, path: Path) -> None:
        first = MasterKey.load_or_create(path)
        second = first.rotated(path)

        assert second.keys[0] == first.keys[0]
        assert len(second.keys) == 2
        assert MasterKey.load(path).keys == second.keys
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_notices_a_mistyped_key(self, path: Path) -> None:
        MasterKey.load_or_create(path)
        text = path.read_text()
        path.write_text(text.replace(text[-5], "A" if text[-5] != "A" else "B"))

        with pytest.raises(MasterKeyError, match="line 2"):
            MasterKey.load(path)

    @pytest.mark.parametrize("content", ["", "# nothing\n", "abc\n", "a b c\n", "0011 AAAA\n", "\xff\n", "x" * 100_000])
    def test_is_refused_when_it_is_something_else(self, path: Path, content: str) -> None:
        MasterKey.load_or_create(path)
        path.write_text(content)

        with pytest.raises(MasterKeyError):
            MasterKey.load(path)
