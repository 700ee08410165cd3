"""A random value in every file that is made of the data: the attestation shows the digest of each to everybody.

Without it, whoever knows all of a file but one short text could try that text against the digest.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

BYTES = 32


def blind() -> str:
    """A value that nobody can guess."""
    return secrets.token_hex(BYTES)


def blinded_schema(schema: pa.Schema) -> pa.Schema:
    """The schema with such a value among its metadata."""
    return schema.with_metadata({**(schema.metadata or {}), b"blind": blind().encode()})


def blinded_table(table: pa.Table) -> pa.Table:
    """The table with such a value among its metadata."""
    return table.replace_schema_metadata(blinded_schema(table.schema).metadata)


def blind_array() -> np.ndarray:
    """Such a value as an array, for a file of arrays."""
    return np.frombuffer(secrets.token_bytes(BYTES), np.uint8)
