"""An approval that is stored can be checked by anybody, and counts for one decision only."""

from typing import Any

import pytest

from freehold.domain.ceremonies.evidence.approvals import ApprovalRefused, approval_challenge, verify_approval
from tests.support.signers import DIGEST, SoftPasskey

DOMAIN = "acme.example.com:8443"
PASSKEY = SoftPasskey("acme.example.com", f"https://{DOMAIN}")
NONCE = bytes(range(32))


def stored(passkey: SoftPasskey = PASSKEY, *, decision: str = "approve", verified: bool = True) -> dict[str, Any]:
    answer = passkey.sign(approval_challenge(DIGEST, decision, "adm_1", NONCE), verified=verified)
    return {
        "decision": decision,
        "person": {"id": "adm_1"},
        "nonce": NONCE.hex(),
        "credential_id": answer["id"],
        "public_key": PASSKEY.public.public_key,
        "authenticator_data": answer["response"]["authenticatorData"],
        "client_data_json": answer["response"]["clientDataJSON"],
        "signature": answer["response"]["signature"],
    }


def refusal(details: dict[str, Any], *, digest: bytes = DIGEST, domain: str = DOMAIN) -> str:
    with pytest.raises(ApprovalRefused) as refused:
        verify_approval(digest, details, domain=domain)
    return refused.value.code


def test_a_stored_approval_can_be_checked_again() -> None:
    verify_approval(DIGEST, stored(), domain=DOMAIN)


def test_it_counts_for_nothing_else() -> None:
    assert refusal(stored(), digest=bytes(32)) == "other_decision"
    assert refusal(stored() | {"decision": "reject"}) == "other_decision"
    assert refusal(stored() | {"person": {"id": "adm_2"}}) == "other_decision"
    assert refusal(stored() | {"nonce": bytes(32).hex()}) == "other_decision"
    assert refusal(stored(), domain="other.example.com") == "bad_signature"
    assert refusal(stored(SoftPasskey("evil.example", "https://evil.example", key=PASSKEY.key))) == "bad_signature"
    assert refusal(stored(SoftPasskey(PASSKEY.rp_id, PASSKEY.origin))) == "bad_signature"
    assert refusal(stored(verified=False)) == "bad_signature"


@pytest.mark.parametrize("name", list(stored()))
def test_every_part_is_needed_and_none_can_be_changed(name: str) -> None:
    details = stored()
    without = {key: value for key, value in details.items() if key != name}

    assert refusal(without) == "bad_signature"
    assert refusal(details | {name: None}) == "bad_signature"
    if name not in ("person", "credential_id"):
        value = details[name]
        other = value[:-2] + ("00" if value[-2:] != "00" else "11")
        assert refusal(details | {name: other}) in {"bad_signature", "other_decision"}


def test_parts_cannot_be_taken_for_one_another() -> None:
    one = approval_challenge(DIGEST, "approve", "adm_1", NONCE)

    assert one != approval_challenge(DIGEST, "approvea", "dm_1", NONCE)
    for bad in (("a\0b", "c"), ("a", "b\0c")):
        with pytest.raises(ValueError, match="made of"):
            approval_challenge(DIGEST, *bad, NONCE)
    with pytest.raises(ValueError, match="made of"):
        approval_challenge(DIGEST[:-1], "approve", "adm_1", NONCE)
