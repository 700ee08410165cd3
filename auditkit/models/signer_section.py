"""The policy's word on who must have signed a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FilePath = Annotated[str, Field(min_length=1, max_length=4096)]
Name = Annotated[str, Field(min_length=1, max_length=500)]


class SignerSection(BaseModel):
    """Who must have signed the model, in the OpenSSF model-signing form: a key, a certificate chain, or an identity.

    With this section a model without that signature is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: FilePath | None = Field(
        default=None,
        description="The signature, relative to the policy. By default model.sig in the model's folder; for a lone "
        "file NAME.sig or model.sig beside it.",
    )
    key: FilePath | None = Field(
        default=None, description="The signer's public key (PEM; P-256, P-384 or P-521), relative to the policy."
    )
    certificates: tuple[FilePath, ...] = Field(
        default=(),
        max_length=10,
        description="PEM files with the certificates that the signer's own must lead to, relative to the policy.",
    )
    identity: Name | None = Field(default=None, description="Who signed by sigstore, for example an e-mail address.")
    issuer: Name | None = Field(default=None, description="The OpenID Connect issuer that vouched for the identity.")
    trust: FilePath | None = Field(
        default=None,
        description="A client trust configuration of sigstore, relative to the policy. With it nothing is fetched.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = (self.key is not None, bool(self.certificates), self.identity is not None)
        if sum(ways) != 1:
            raise ValueError("give one of 'key', 'certificates' and 'identity'")
        if (self.identity is None) != (self.issuer is None):
            raise ValueError("'identity' and 'issuer' belong together")
        if self.trust and self.identity is None:
            raise ValueError("'trust' goes with 'identity'")
        return self

    @property
    def method(self) -> Literal["key", "certificate", "sigstore"]:
        """What the signature rests on."""
        if self.key:
            return "key"
        return "certificate" if self.certificates else "sigstore"

    def resolved(self, folder: Path) -> Self:
        """The same with relative paths resolved against the policy's folder."""
        paths = {name: _within(folder, getattr(self, name)) for name in ("file", "key", "trust")}
        chain = tuple(str(_within(folder, path)) for path in self.certificates)
        return self.model_copy(update={**paths, "certificates": chain})


def _within(folder: Path, path: str | None) -> str | None:
    return path and str((folder / Path(path).expanduser()).resolve())
