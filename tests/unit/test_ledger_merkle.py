"""The tree is that of RFC 9162: known vectors, and proofs that prove only what is so."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scot_replay.ledger.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    consistent,
    included,
    inclusion_proof,
    leaf_hash,
    root,
)

# Leaves and roots that Certificate Transparency's implementations are tested with.
LEAVES = [
    leaf_hash(bytes.fromhex(leaf))
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIZES = st.integers(1, 70)


def made(size: int) -> list[bytes]:
    return [leaf_hash(place.to_bytes(2, "big")) for place in range(size)]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_known_roots(size: int) -> None:
    tree = Frontier()
    for leaf in LEAVES[:size]:
        tree.append(leaf)
    assert tree.root().hex() == root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_the_empty_tree_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == root([]) == EMPTY == sha256(b"").digest()


def test_the_proofs_of_the_rfc_s_own_example() -> None:
    """RFC 9162, 2.1.5: seven leaves; paths to d0, d3, d4, d6, and proofs from 3, 4 and 6."""
    a, b, c, d, e, f, j = LEAVES[:7]
    g, h, i = root([a, b]), root([c, d]), root([e, f])
    k, l_ = root([a, b, c, d]), root([e, f, j])
    leaves = LEAVES[:7]
    assert inclusion_proof(leaves, 0) == [b, h, l_]
    assert inclusion_proof(leaves, 3) == [c, g, l_]
    assert inclusion_proof(leaves, 4) == [f, j, k]
    assert inclusion_proof(leaves, 6) == [i, k]
    assert consistency_proof(leaves, 3) == [c, d, g, l_]
    assert consistency_proof(leaves, 4) == [l_]
    assert consistency_proof(leaves, 6) == [i, j, k]


@given(SIZES, st.data())
def test_a_leaf_is_proven_at_its_own_place_only(size: int, data: st.DataObject) -> None:
    leaves, index = made(size), data.draw(st.integers(0, size - 1))
    path, head = inclusion_proof(leaves, index), root(leaves)
    assert included(leaves[index], index, size, path, head)
    for other in range(size):
        assert included(leaves[index], other, size, path, head) == (other == index)
        assert included(leaves[other], index, size, path, head) == (other == index)
    assert not included(leaves[index], index, size, [*path, head], head)
    assert not path or not included(leaves[index], index, size, path[:-1], head)


@given(SIZES, st.data())
@settings(max_examples=50)
def test_every_flipped_bit_of_a_proof_is_found(size: int, data: st.DataObject) -> None:
    leaves, old = made(size), data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, size - 1))
    before, head = root(leaves[:old]), root(leaves)
    proof, path = consistency_proof(leaves, old), inclusion_proof(leaves, index)
    assert consistent(old, before, size, head, proof)
    for bit in range(256):
        mask = 1 << bit

        def flipped(value: bytes, mask: int = mask) -> bytes:
            return (int.from_bytes(value, "big") ^ mask).to_bytes(32, "big")

        assert not consistent(old, flipped(before), size, head, proof)
        assert not consistent(old, before, size, flipped(head), proof)
        for place, node in enumerate(proof):
            bad = [*proof[:place], flipped(node), *proof[place + 1 :]]
            assert not consistent(old, before, size, head, bad)
        for place, node in enumerate(path):
            bad = [*path[:place], flipped(node), *path[place + 1 :]]
            assert not included(leaves[index], index, size, bad, head)


@given(SIZES, SIZES, st.data())
def test_two_trees_that_differ_are_not_consistent(old: int, more: int, data: st.DataObject) -> None:
    leaves = made(old + more)
    forked = leaves[:]
    forked[data.draw(st.integers(0, old - 1))] = leaf_hash(b"other")
    proof = consistency_proof(forked, old)
    assert not consistent(old, root(leaves[:old]), old + more, root(forked), proof)


@given(st.integers(0, 300))
def test_what_only_grows_keeps_few_hashes_and_the_same_root(size: int) -> None:
    tree = Frontier()
    for leaf in made(size):
        tree.append(leaf)
    grown = tree.copy()
    assert tree.root() == root(made(size))
    assert len(tree._roots) == size.bit_count()
    grown.append(leaf_hash(b"more"))
    assert tree.root() == root(made(size))


def test_a_leaf_or_a_size_that_never_was_is_refused() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(made(3), 3)
    with pytest.raises(IndexError):
        consistency_proof(made(3), 0)
    assert not consistent(0, EMPTY, 3, root(made(3)), made(3))
    assert not included(made(1)[0], 1, 1, [], root(made(1)))
