"""Merkle trees as in RFC 9162 section 2.1: leaves hashed with 0x00 before them, nodes with 0x01.

A tree that grows is kept as its frontier: the roots of the complete subtrees it is made of, largest first.
"""

import hashlib
from collections.abc import Sequence

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """The hash of one leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def extended(frontier: Sequence[bytes], size: int, leaf: bytes) -> list[bytes]:
    """The frontier of a tree of `size` leaves after one more leaf hash."""
    grown, top = list(frontier), leaf
    while size & 1:
        top = node_hash(grown.pop(), top)
        size >>= 1
    return [*grown, top]


def frontier_of(leaves: Sequence[bytes]) -> list[bytes]:
    """The frontier of a tree of these leaf hashes."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        frontier = extended(frontier, size, leaf)
    return frontier


def root_of_frontier(frontier: Sequence[bytes]) -> bytes:
    """The root of the tree with this frontier."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The root of a tree of these leaf hashes."""
    return root_of_frontier(frontier_of(leaves))


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf at `index`, counted from 0, in the tree of all these leaf hashes."""
    return _Levels(leaves).inclusion(index, 0, len(leaves))


def consistency_path(leaves: Sequence[bytes], first: int) -> list[bytes]:
    """The proof that the tree of the `first` leaves is the beginning of the tree of all (RFC 9162 section 2.1.4)."""
    if not 0 < first <= len(leaves):
        raise ValueError("A consistency proof begins at a tree with leaves that is no larger")
    return _Levels(leaves).consistency(first, 0, len(leaves), whole=True)


class Paths:
    """Audit paths of many leaves of one tree, whose inner nodes are computed once."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels, self._size = _Levels(leaves), len(leaves)
        self.root = self._levels.range(0, self._size) if leaves else EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """The audit path of the leaf at `index`, counted from 0."""
        return self._levels.inclusion(index, 0, self._size)


class _Levels:
    """The complete subtrees over some leaves: level n holds those of 2**n leaves."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._levels = [list(leaves)]
        while len(self._levels[-1]) > 1:
            below = self._levels[-1]
            self._levels.append([node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)])

    def range(self, start: int, end: int) -> bytes:
        """The root over a part that begins at a multiple of its own power of two."""
        size = end - start
        if size & (size - 1) == 0:
            return self._levels[size.bit_length() - 1][start // size]
        split = _split(size)
        return node_hash(self.range(start, start + split), self.range(start + split, end))

    def inclusion(self, index: int, start: int, end: int) -> list[bytes]:
        if not start <= index < end:
            raise ValueError("There is no such leaf")
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self.inclusion(index, start, middle), self.range(middle, end)]
        return [*self.inclusion(index, middle, end), self.range(start, middle)]

    def consistency(self, first: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        size = end - start
        if first == size:
            return [] if whole else [self.range(start, end)]
        split = _split(size)
        middle = start + split
        if first <= split:
            return [*self.consistency(first, start, middle, whole=whole), self.range(middle, end)]
        return [*self.consistency(first - split, middle, end, whole=False), self.range(start, middle)]


def _split(size: int) -> int:
    """The largest power of two smaller than the size."""
    return 1 << ((size - 1).bit_length() - 1)


def is_included(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path proves the leaf hash at `index` of the tree with this root (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, reached = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if position & 1 or position == last:
            reached = node_hash(step, reached)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            reached = node_hash(reached, step)
        position >>= 1
        last >>= 1
    return last == 0 and reached == root


def is_consistent(first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes) -> bool:
    """Whether the path proves that the first tree is the beginning of the second (RFC 9162 section 2.1.4.2)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    steps = list(path)
    if first & (first - 1) == 0:
        steps.insert(0, first_root)
    if not steps:
        return False
    position, last = first - 1, second - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while position and not position & 1:
                position >>= 1
                last >>= 1
        else:
            new = node_hash(new, step)
        position >>= 1
        last >>= 1
    return last == 0 and old == first_root and new == second_root
