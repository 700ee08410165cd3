"""The proof that one record was among those audited: it opens one leaf of the Merkle tree, and tells of no other."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from auditkit.corpus.base import Corpus
from auditkit.corpus.identity import content_bytes, nonce
from auditkit.corpus.merkle import corpus_leaves, inclusion_proof, leaf_hash, root, tree_name, verify_inclusion

PROOF_TYPE: Literal["https://auditkit.dev/record-proof/v1"] = "https://auditkit.dev/record-proof/v1"
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
LARGEST_TREE = 2**48
LONGEST_PATH = 48


class ProvenRecord(BaseModel):
    """A record's content as its leaf commits to it: normalised, with "" for what it has not."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    prompt: str
    response: str
    rejected: str

    @property
    def content(self) -> bytes:
        """The canonical bytes that the leaf is made of."""
        return content_bytes(self.prompt, self.response, self.rejected)

    @property
    def sha256(self) -> str:
        """Of these bytes, in hex."""
        return hashlib.sha256(self.content).hexdigest()


class RecordProof(BaseModel):
    """A record, the nonce of its leaf, and the sibling hashes from the leaf up to below the root.

    ``index`` counts from 0 among the ``size`` records of the dataset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["https://auditkit.dev/record-proof/v1"] = PROOF_TYPE
    run: Annotated[str, Field(max_length=2000)]
    dataset: Annotated[str, Field(max_length=2000)]
    record: ProvenRecord
    index: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=1, le=LARGEST_TREE)]
    nonce: Hash
    path: Annotated[tuple[Hash, ...], Field(max_length=LONGEST_PATH)]
    root: Hash

    @model_validator(mode="after")
    def _encodable(self) -> Self:
        if self.index >= self.size:
            raise ValueError("the index is beyond the tree")
        _ = self.record.content  # half a character cannot have been in a record; its error is a ValueError
        return self

    def leads_to(self, expected_root: str) -> bool:
        """Whether the record stands at its index in the tree with this root."""
        leaf = leaf_hash(bytes.fromhex(self.nonce), self.record.content)
        siblings = [bytes.fromhex(sibling) for sibling in self.path]
        return verify_inclusion(leaf, self.index, self.size, siblings, bytes.fromhex(expected_root))


def prove(corpus: Corpus, index: int, secret: bytes, run: str) -> RecordProof:
    """The proof of one record of a corpus under the project's secret.

    Raises:
        IndexError: no such record.
    """
    leaves = corpus_leaves(corpus, secret)
    path = inclusion_proof(leaves, index)
    record = corpus.records[index]
    return RecordProof(
        run=run,
        dataset=corpus.dataset,
        record=ProvenRecord(prompt=record.prompt, response=record.response, rejected=record.rejected),
        index=index,
        size=len(leaves),
        nonce=nonce(secret, index, tree_name(corpus)).hex(),
        path=tuple(sibling.hex() for sibling in path),
        root=root(leaves).hex(),
    )
