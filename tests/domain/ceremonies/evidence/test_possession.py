"""The proof that a requester can decrypt."""

import pytest
from pysequoia import Tsk, decrypt

from freehold.domain.ceremonies.evidence.possession import is_word, seal_word, word_digest
from freehold.domain.ceremonies.evidence.recipient_key import KeyRefused


async def test_only_the_keys_owner_reads_the_word() -> None:
    ada, eve = Tsk.generate(user_id="ada@example.com"), Tsk.generate(user_id="eve@example.com")
    word, message = await seal_word(str(ada.extract_certificate()))

    read = decrypt(message.encode(), decryptor=ada.decryptor())
    assert read.bytes == f"{word}\n".encode()
    assert word not in message
    with pytest.raises(RuntimeError):
        decrypt(message.encode(), decryptor=eve.decryptor())


async def test_words_differ_and_are_read_as_people_write_them() -> None:
    certificate = str(Tsk.generate(user_id="ada@example.com").extract_certificate())
    (word, _), (other, _) = await seal_word(certificate), await seal_word(certificate)
    digest = word_digest(word)

    assert word != other
    assert all(is_word(given, digest) for given in (word, word.lower(), f" {word.replace('-', ' ')}\n"))
    assert not any(is_word(given, digest) for given in (other, "", word[:-1], word * 20, digest))


async def test_a_certificate_that_cannot_be_encrypted_to_is_refused() -> None:
    with pytest.raises(KeyRefused) as refused:
        await seal_word("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    assert refused.value.code == "cannot_encrypt"
