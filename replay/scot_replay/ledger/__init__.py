"""Tamper evidence: a Merkle tree over what was recorded, signed while it was recorded."""
