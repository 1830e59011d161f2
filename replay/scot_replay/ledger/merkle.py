"""The Merkle tree of RFC 9162, section 2.1: SHA-256, append-only. Sans-IO.

A leaf's hash is SHA-256 of 0x00 and the leaf, a node's of 0x01 and its two children. Everything
here takes and gives hashes of 32 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY = sha256(b"").digest()


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of a node over its children."""
    return sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree that only grows: it holds the roots of its whole subtrees, at most one a level.

    Args:
        size: leaves.
        roots: of the whole subtrees, the largest first.
    """

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        self.size = size
        self._roots = list(roots)

    def append(self, leaf: bytes) -> None:
        """Take the hash of the next leaf."""
        place, node = self.size, leaf
        while place & 1:
            node = node_hash(self._roots.pop(), node)
            place >>= 1
        self._roots.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the hash of the tree as it is."""
        if not self._roots:
            return EMPTY
        node = self._roots[-1]
        for left in reversed(self._roots[:-1]):
            node = node_hash(left, node)
        return node

    def copy(self) -> Frontier:
        """Return one that grows by itself."""
        return Frontier(self.size, self._roots)


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the hash of the tree over these hashes of leaves."""
    if not leaves:
        return EMPTY
    level = list(leaves)
    while len(level) > 1:  # a last one without a neighbour goes up as it is
        odd = [level.pop()] if len(level) & 1 else []
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(b"\1" + left + right).digest() for left, right in pairs] + odd
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the path from leaf `index` to the root (RFC 9162, 2.1.3.1).

    Raises:
        IndexError: there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"leaf {index} of a tree of {len(leaves)}")
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    if index < split:
        return [*inclusion_proof(leaves[:split], index), root(leaves[split:])]
    return [*inclusion_proof(leaves[split:], index - split), root(leaves[:split])]


def included(leaf: bytes, index: int, size: int, path: Sequence[bytes], head: bytes) -> bool:
    """Say whether a path proves that `leaf` is leaf `index` of the tree of `size` (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for other in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(other, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, other)
        place, last = place >> 1, last >> 1
    return last == 0 and node == head


def consistency_proof(leaves: Sequence[bytes], size: int) -> list[bytes]:
    """Return the proof that the first `size` leaves are the beginning of these (2.1.4.1).

    Raises:
        IndexError: the tree never had this size.
    """
    if not 0 < size <= len(leaves):
        raise IndexError(f"size {size} of a tree of {len(leaves)}")
    return _subproof(size, leaves, whole=True)


def consistent(
    size: int, head: bytes, later_size: int, later: bytes, proof: Sequence[bytes]
) -> bool:
    """Say whether a proof shows that the tree of `head` is the beginning of `later` (2.1.4.2)."""
    if size == later_size:
        return not proof and head == later
    if not 0 < size < later_size or not proof:
        return False
    path = list(proof)
    if size & (size - 1) == 0:
        path.insert(0, head)
    place, last = size - 1, later_size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for node in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = node_hash(node, first), node_hash(node, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, node)
        place, last = place >> 1, last >> 1
    return last == 0 and first == head and second == later


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1


def _subproof(size: int, leaves: Sequence[bytes], *, whole: bool) -> list[bytes]:
    if size == len(leaves):
        return [] if whole else [root(leaves)]
    split = _split(len(leaves))
    if size <= split:
        return [*_subproof(size, leaves[:split], whole=whole), root(leaves[split:])]
    return [*_subproof(size - split, leaves[split:], whole=False), root(leaves[:split])]
