"""What the pages say of a model's manifest and signature."""

from __future__ import annotations

from auditkit.records import ModelIdentity


def signature_words(model: ModelIdentity) -> str:
    """Whether the model carries a signature, whose it is, and what was checked, as one phrase."""
    found = model.signature
    if found.state == "verified":
        ways = {"key": "public key", "certificate": "certificate chain", "sigstore": "sigstore identity"}
        way = ways.get(found.method, found.method)
        return f"verified before the audit, by {way}: {found.signer} ({found.file})"
    if found.state == "not_checked":
        return found.reason
    looked = model.manifest.sha256 or model.manifest.reason
    return "none found" if looked else "not looked for"


def manifest_words(model: ModelIdentity) -> str:
    """The root digest and how it was made; why there is none."""
    found = model.manifest
    if not found.sha256:
        return f"not made: {found.reason}" if found.reason else "not recorded"
    method, hashed = (str(found.serialisation.get(name, "")) for name in ("method", "hash_type"))
    count = f"{found.files} file{'' if found.files == 1 else 's'}"
    return f"{found.sha256} over {count}, serialised as {method}, {hashed}"


def ignored_words(model: ModelIdentity) -> str:
    """What the manifest leaves out, "" for nothing."""
    ignored = model.manifest.serialisation.get("ignore_paths")
    return ", ".join(ignored) if isinstance(ignored, list) else ""
