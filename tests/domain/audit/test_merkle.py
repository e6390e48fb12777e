"""Merkle trees against the definition of RFC 9162, which is recursive and slow, and proofs that are bent."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.audit import merkle

LEAVES = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=40)


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162 section 2.1.1, over leaf hashes."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + defined_root(leaves[:split]) + defined_root(leaves[split:])).digest()


def test_a_leaf_is_never_a_node() -> None:
    assert merkle.leaf_hash(b"a") == hashlib.sha256(b"\x00a").digest()
    assert merkle.node_hash(b"a", b"b") == hashlib.sha256(b"\x01ab").digest()
    assert merkle.root_of([]) == hashlib.sha256(b"").digest()


@given(LEAVES)
def test_the_root_is_the_defined_one(leaves: list[bytes]) -> None:
    assert merkle.root_of(leaves) == defined_root(leaves) == merkle.Paths(leaves).root


@given(LEAVES, st.data())
def test_a_path_proves_its_leaf_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    path, root = merkle.inclusion_path(leaves, index), merkle.root_of(leaves)

    assert merkle.is_included(leaves[index], index, len(leaves), path, root)
    assert not merkle.is_included(bytes(31) + b"\x01", index, len(leaves), path, root)
    assert not merkle.is_included(leaves[index], index, len(leaves), [*path, root], root)
    assert not merkle.is_included(leaves[index], len(leaves), len(leaves), path, root)
    if path:
        bent = [bytes([path[0][0] ^ 1]) + path[0][1:], *path[1:]]
        assert not merkle.is_included(leaves[index], index, len(leaves), bent, root)
        assert not merkle.is_included(leaves[index], index, len(leaves), path[:-1], root)


@given(LEAVES, st.data())
def test_a_beginning_is_proved_and_another_history_is_not(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    path = merkle.consistency_path(leaves, first)
    old, new = merkle.root_of(leaves[:first]), merkle.root_of(leaves)

    assert merkle.is_consistent(first, len(leaves), path, old, new)
    forged = merkle.root_of([merkle.leaf_hash(b"forged"), *leaves[1:first]])
    assert not merkle.is_consistent(first, len(leaves), path, forged, new)
    assert not merkle.is_consistent(first, len(leaves), [*path, new], old, new)


def test_what_is_not_there_has_no_proof() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.inclusion_path([bytes(32)], 1)
    with pytest.raises(ValueError, match="no larger"):
        merkle.consistency_path([bytes(32)], 2)
