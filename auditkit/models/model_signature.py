"""A model's signature and manifest in the OpenSSF model-signing form: looked at before anything else of the model."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models import model_signing_library as library
from auditkit.models.model_folder import MOST_ENTRIES, ModelFolder
from auditkit.models.model_signing_library import LONE_FILE, Manifest, Statement
from auditkit.models.regular import open_regular
from auditkit.models.sandbox import printable
from auditkit.models.signer_section import SignerSection
from auditkit.records import ModelManifest, ModelSignature

SIGNATURE = "model.sig"
MOST_SIGNATURE = 64 * 2**20
AGAIN = "fetch the model again, or ask whoever signed it; do not release what is not what was signed"


@dataclass(frozen=True)
class Carried:
    """What a model carries: its signature, and what that says of its files."""

    signature: ModelSignature
    path: Path | None = None  # of the signature file
    signed: Statement | None = None  # only where it was verified

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody who audits the model should know."""
        return (self.signature.reason,) if self.signature.state == "not_checked" else ()

    def refuse_uncovered(self, model: Path, names: Collection[str]) -> None:
        """A signature may leave files out; none of those that make the model up.

        Raises:
            ModelError: it speaks of no such file.
        """
        if self.signed is None:
            return
        covered = {LONE_FILE, *self.signed.names} if not model.is_dir() else self.signed.names
        left_out = sorted(set(names) - covered) if LONE_FILE not in self.signed.names else []
        if left_out:
            raise ModelError(
                f"{model}: its signature does not cover {printable(', '.join(left_out))}",
                "have the whole model signed",
            )


def carried(model: Path, section: SignerSection | None) -> Carried:
    """The signature of a model, checked where the policy says by whom it must be.

    Raises:
        ModelError: the policy asks for a signature and there is none, it does not hold, or the model is not what was
            signed: a file changed, missing or extra.
        MissingExtraError: the policy asks for one, and the library is not installed.
    """
    path = _find(model, section)
    if path is None:
        if section is not None:
            raise ModelError(f"{model}: is not signed: there is no {SIGNATURE}", "sign it, or leave `signature` out")
        return Carried(ModelSignature())
    content = _read(path)
    found = ModelSignature("not_checked", file=printable(path.name), sha256=hashlib.sha256(content).hexdigest())
    if section is None:
        reason = (
            f"carries a signature ({found.file}), not checked: no key declared (`signature` in the model's section)"
        )
        return Carried(replace(found, reason=reason), path)
    statement = _checked(model, path, content, section)
    proven = library.signer_of(content, section)
    held = replace(found, state="verified", method=section.method, signer=proven, manifest_sha256=statement.root_sha256)
    return Carried(held, path, statement)


def manifest(model: Path, known: Carried) -> tuple[ModelManifest, dict[str, str]]:
    """The manifest of a model, and the SHA-256 of its files by name: of a folder all, of a lone file its own.

    Files of a model whose signature was verified are not read a second time. Where no manifest can be made the digests
    are empty, and its ``reason`` says why.
    """
    try:
        made = _signed_manifest(model, known) or _made(model, known)
    except MissingExtraError as error:
        return ModelManifest(reason=f"{error.message}: {error.hint}"), {}
    except ModelError as error:
        return ModelManifest(reason=error.message), {}
    names = {model.name: made.digests[LONE_FILE]} if LONE_FILE in made.digests else made.digests
    return ModelManifest(made.sha256, len(made.digests), made.serialisation), names


def _signed_manifest(model: Path, known: Carried) -> Manifest | None:
    whole = known.signed is not None and known.path is not None and (model.is_dir() or _is_of_one_file(known.signed))
    return known.signed.manifest(known.path.name) if whole and known.signed and known.path else None


def _made(model: Path, known: Carried) -> Manifest:
    ignored = {SIGNATURE} | ({known.path.name} if known.path and known.path.parent == model else set())
    links = _look_over(model)
    return library.make_manifest(model, sorted(ignored) if model.is_dir() else (), links)


def _find(model: Path, section: SignerSection | None) -> Path | None:
    if section and section.file:
        path = Path(section.file)
        if not path.exists():
            raise ModelError(f"{path}: there is no such signature", "check `signature: {file: ...}`")
        return path
    places = [model / SIGNATURE] if model.is_dir() else [model.with_name(f"{model.name}.sig"), model.parent / SIGNATURE]
    return next((place for place in places if os.path.lexists(place)), None)


def _read(path: Path) -> bytes:
    with open_regular(path) as (descriptor, size), os.fdopen(os.dup(descriptor), "rb") as file:
        if size > MOST_SIGNATURE:
            raise ModelError(f"{path}: is {size:,} bytes long; {MOST_SIGNATURE:,} are the most for a signature")
        return file.read(MOST_SIGNATURE)


def _checked(model: Path, path: Path, content: bytes, section: SignerSection) -> Statement:
    """The statement of a signature that holds. The library is given a copy: what is checked is what is believed."""
    with tempfile.TemporaryDirectory(prefix="auditkit-") as place:
        copy = Path(place) / SIGNATURE
        copy.write_bytes(content)
        try:
            statement = library.read_statement(content)
            signed = model if model.is_dir() or _is_of_one_file(statement) else model.parent
            ignored = [path.name] if path.parent == signed else []
            library.check(signed, copy, section, ignored, _look_over(signed))
        except ValueError as error:
            raise ModelError(f"{model}: its signature {printable(path.name)} does not hold: {error}", AGAIN) from None
    return statement


def _is_of_one_file(statement: Statement) -> bool:
    return statement.names == {LONE_FILE}


def _look_over(model: Path) -> bool:
    """Whether there are links in a folder; each is looked at before the library follows it.

    Raises:
        ModelError: a link leads out of the folder, or there are more files than a model has.
    """
    if not model.is_dir():
        return model.is_symlink()
    folder, links = ModelFolder(model), False
    for number, path in enumerate(model.rglob("*")):
        if number >= MOST_ENTRIES:
            raise ModelError(f"{model}: has more than {MOST_ENTRIES:,} files, too many for a model")
        if path.is_symlink():
            folder.file(path.relative_to(model).as_posix())
            links = True
    return links
