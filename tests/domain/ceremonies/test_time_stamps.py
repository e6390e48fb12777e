"""Where the operator names a time stamp authority, a signed form counts with its stamp, and with nothing else."""

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from freehold.domain import audit
from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies import Ceremony, bundle
from freehold.domain.ceremonies.completeness import Incomplete, check_complete
from freehold.domain.ceremonies.evidence.timestamps import NoStamp
from freehold.domain.ceremonies.pieces import of_kind, pieces_of
from freehold.domain.ceremonies.policy import Policy, policy_of, stricter
from freehold.domain.ceremonies.verify import BundleRefused, verify_bundle
from freehold.kernel.clock import parse_iso
from tests.domain.ceremonies.test_receipts import Forger
from tests.support.ceremonies import Hall
from tests.support.programs import find_openssl
from tests.support.time_stamps import WRONG, TimeAuthority, stamped, time_stamping

pytestmark = pytest.mark.parametrize("database", ["sqlite"], scope="session")


@pytest.fixture
async def authority(hall: Hall, tmp_path: Path) -> AsyncIterator[TimeAuthority]:
    async with time_stamping(tmp_path) as running:
        running.clock = hall.clock
        hall.configure(ceremony_timestamp_url=running.url, ceremony_timestamp_ca=running.ca_file)
        yield running


async def receipt(hall: Hall, ceremony: Ceremony) -> Forger:
    key = await audit.current_key(hall.store, hall.tenant)
    assert key is not None
    return Forger(await bundle.write_bundle(hall.store, hall.tenant, ceremony), key[1], key[0])


async def test_the_signed_form_is_stamped_and_the_receipt_says_when_and_by_whom(
    authority: TimeAuthority, hall: Hall, ada: Administrator, bob: Administrator
) -> None:
    ceremony = await hall.at("preparing", ada, bob)
    assert ceremony.request.policy["time_stamps"] is True

    found = await verify_bundle((await receipt(hall, ceremony)).data)
    assert found.stamped_by == "Common Name: Example TSA"
    assert abs((parse_iso(found.stamped_at) - hall.clock.now()).total_seconds()) < 600
    (told,) = [entry for entry in await hall.log(ceremony) if entry.action == "ceremony.sign"]
    assert told.shown["details"]["stamped_at"] == found.stamped_at
    assert len(authority.asked) == 1
    assert authority.asked[0]["cert_req"].native is True


@pytest.mark.openssl
async def test_openssl_reads_the_stamp_as_well(
    authority: TimeAuthority, hall: Hall, ada: Administrator, bob: Administrator, tmp_path: Path
) -> None:
    ceremony = await hall.at("preparing", ada, bob)
    files = (await receipt(hall, ceremony)).files()
    token, form = tmp_path / "stamp.der", tmp_path / "signed-form"
    token.write_bytes(next(content for name, content in files.items() if name.endswith("-timestamp.bin")))
    form.write_bytes(next(content for name, content in files.items() if name.endswith("-signature.bin")))
    command = [
        str(find_openssl()), "ts", "-verify", "-token_in", "-in", str(token), "-CAfile", str(authority.ca_file),
        "-data", str(form),
    ]  # fmt: skip
    assert b"Verification: OK" in subprocess.run(command, capture_output=True, check=True).stdout
    form.write_bytes(form.read_bytes() + b"\n")
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


async def test_without_a_good_stamp_the_form_is_not_accepted_and_may_come_again(
    authority: TimeAuthority, hall: Hall, ada: Administrator, bob: Administrator
) -> None:
    ceremony = await hall.at("sign", ada, bob)
    for name, answer in WRONG.items():
        authority.answer = answer
        with pytest.raises(NoStamp):
            await hall.sign(ada, ceremony)
        pieces = await pieces_of(hall.store, hall.tenant, ceremony)
        assert not of_kind(pieces, "signature"), name
        assert not of_kind(pieces, "timestamp"), name
        refused = (await hall.log(ceremony))[-1]
        assert (refused.action, refused.shown["details"]["code"]) == ("ceremony.refused", "no_time_stamp"), name

    authority.answer = stamped
    assert (await hall.sign(ada, ceremony)).state == "preparing"


async def test_an_authority_that_fails_or_is_gone_gives_none(
    authority: TimeAuthority, hall: Hall, ada: Administrator, bob: Administrator
) -> None:
    ceremony = await hall.at("sign", ada, bob)
    authority.status = 500
    with pytest.raises(NoStamp):
        await hall.sign(ada, ceremony)
    hall.configure(ceremony_timestamp_url="http://127.0.0.1:9/tsa", ceremony_timestamp_ca=authority.ca_file)
    with pytest.raises(NoStamp):
        await hall.sign(ada, ceremony)
    # Taking the setting back frees nobody from what the request says.
    hall.configure(ceremony_timestamp_url="", ceremony_timestamp_ca=None)
    with pytest.raises(NoStamp):
        await hall.sign(ada, ceremony)


async def test_what_was_signed_before_the_operator_asked_for_stamps_is_not_built(
    hall: Hall, ada: Administrator, bob: Administrator, tmp_path: Path
) -> None:
    ceremony = await hall.at("preparing", ada, bob)
    await check_complete(hall.store, hall.tenant, ceremony, hall.clock.now())
    async with time_stamping(tmp_path) as running:
        hall.configure(ceremony_timestamp_url=running.url, ceremony_timestamp_ca=running.ca_file)
        with pytest.raises(Incomplete) as refused:
            await check_complete(
                hall.store, hall.tenant, ceremony, hall.clock.now(), policy=policy_of(hall.settings, hall.tenant)
            )
    assert refused.value.code == "no_time_stamp"


async def test_bent_stamps_are_refused_in_a_receipt(
    authority: TimeAuthority, hall: Hall, ada: Administrator, bob: Administrator
) -> None:
    forger = await receipt(hall, await hall.at("preparing", ada, bob))
    stem = forger.named("timestamp")

    def with_token(token: bytes) -> bytes:
        files = forger.files()
        files[stem + ".bin"] = token
        forger.receipt(files, stem)
        return forger.written(files)

    genuine = forger.files()[stem + ".bin"]
    other = TimeAuthority(authority.folder)
    elsewhere = other.root.anchor().certificate
    bends = {
        "missing": (forger.without("timestamp"), "no_time_stamp"),
        "empty": (with_token(b""), "bad_time_stamp"),
        "bent": (with_token(genuine[:-20] + bytes([genuine[-20] ^ 1]) + genuine[-19:]), "bad_time_stamp"),
        "of another form": (_with_other_signature(forger), "bad_time_stamp"),
        "by an authority that nobody trusts": (
            forger.changed(stem + ".json", lambda v: v.update(authorities=[elsewhere])), "bad_time_stamp",
        ),
        "noted with another time": (
            forger.changed(stem + ".json", lambda v: v.update(at="2026-01-01T00:00:00.000Z")), "bad_time_stamp",
        ),
        "with unreadable authorities": (
            forger.changed(stem + ".json", lambda v: v.update(authorities=["-----BEGIN"])), "bad_time_stamp",
        ),
    }  # fmt: skip
    seen = {}
    for name, (bent, _) in bends.items():
        with pytest.raises(BundleRefused) as refused:
            await verify_bundle(bent)
        seen[name] = refused.value.code
    assert seen == {name: code for name, (_, code) in bends.items()}


def _with_other_signature(forger: Forger) -> bytes:
    """The signed form spelled otherwise, so that its signature holds and its digest is another."""
    files, stem = forger.files(), forger.named("signature")
    files[stem + ".bin"] = files[stem + ".bin"] + b"\n"
    forger.receipt(files, stem)
    return forger.written(files)


async def test_the_two_settings_come_together(hall: Hall, tmp_path: Path) -> None:
    for changes in (
        {"ceremony_timestamp_url": "https://tsa.example"},
        {"ceremony_timestamp_ca": tmp_path / "ca.pem"},
        {"ceremony_timestamp_url": "ftp://tsa.example", "ceremony_timestamp_ca": tmp_path / "ca.pem"},
    ):
        with pytest.raises(ValueError, match="ceremony_timestamp_url"):
            hall.configure(**changes)
    assert msgspec.structs.asdict(policy_of(hall.settings, hall.tenant))["time_stamps"] is False


async def test_the_policy_counts_stamps_as_stricter(hall: Hall) -> None:
    loose, strict = Policy(), Policy(time_stamps=True)
    assert stricter(loose, strict).time_stamps
    assert not strict.relaxed
