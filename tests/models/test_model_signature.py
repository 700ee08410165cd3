"""A model's signature: made by the model-signing library as a publisher would, checked before anything else."""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from auditkit.errors import MissingExtraError, ModelError
from auditkit.models import model_signing_library
from auditkit.models.model_signature import carried
from auditkit.models.regular import sha256_of
from auditkit.models.signer_section import SignerSection
from auditkit.models.transformers_backend import TransformersBackend
from auditkit.models.weights import identity
from auditkit.records import ModelIdentity
from auditkit.report.model_words import manifest_words, signature_words
from tests.models.gguf_files import METADATA, build
from tests.models.signers import Signer, make_signer, sign
from tests.models.test_weights import safetensors

pytest.importorskip("OpenSSL", reason="pip install 'auditkit[model-signing]'")
hashing = pytest.importorskip("model_signing.hashing")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return make_signer(tmp_path_factory.mktemp("stranger"), "Somebody Else")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A small model with files that it needs and one that it does not."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(safetensors({"a": [2, 3]}))
    (path / "tokenizer.json").write_text("{}")
    (path / "README.md").write_text("hello")
    (path / "assets").mkdir()
    (path / "assets" / "logo.svg").write_text("<svg/>")
    return path


@pytest.fixture
def signed(model: Path, signer: Signer) -> Path:
    sign(model, model / "model.sig", signer)
    return model


def backend(model: Path, **signature: object) -> TransformersBackend:
    section = {"signature": signature} if signature else {}
    said = {"backend": "transformers", "path": str(model), "dtype": "float32", **section}
    return TransformersBackend.model_validate(said)


def of(model: Path, **signature: object) -> ModelIdentity:
    found = backend(model, **signature).preflight("candidate").identity
    assert found
    return found


def subject(signature: Path) -> str:
    """The root digest in a signature's statement, read without any of our code."""
    import base64

    payload = json.loads(base64.b64decode(json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]))
    return str(payload["subject"][0]["digest"]["sha256"])


class TestVerified:
    def test_by_key(self, signed: Path, signer: Signer) -> None:
        found = of(signed, key=str(signer.public))
        assert (found.signature.state, found.signature.method) == ("verified", "key")
        assert found.signature.file == "model.sig"
        assert found.signature.sha256 == sha256_of(signed / "model.sig")
        assert "verified before the audit, by public key" in signature_words(found)

    def test_by_certificate_it_says_whose(self, model: Path, signer: Signer) -> None:
        sign(model, model / "model.sig", signer, certificate=True)
        found = of(model, certificates=[str(signer.root)]).signature
        assert (found.state, found.method) == ("verified", "certificate")
        assert found.signer.startswith("CN=Release Team, certificate valid until ")

    def test_the_manifest_is_what_was_signed_and_what_an_unsigned_copy_has(self, signed: Path, signer: Signer) -> None:
        checked, unchecked = of(signed, key=str(signer.public)), of(signed)
        assert checked.manifest.sha256 == checked.signature.manifest_sha256 == subject(signed / "model.sig")
        assert unchecked.manifest.sha256 == checked.manifest.sha256
        (signed / "model.sig").unlink()
        assert of(signed).manifest.sha256 == checked.manifest.sha256
        assert checked.manifest.files == 5
        assert checked.sha256 == of(signed).sha256

    @pytest.mark.parametrize(
        "form",
        [
            lambda: hashing.Config().use_file_serialization(hashing_algorithm="blake3"),
            lambda: hashing.Config().use_shard_serialization(shard_size=64),
            lambda: hashing.Config().set_ignored_paths(paths=["README.md"]),
            lambda: hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=False),
        ],
        ids=["blake3", "in pieces", "without the readme", "with git's files"],
    )
    def test_in_every_form_of_the_library(self, model: Path, signer: Signer, form: Callable[[], Any]) -> None:
        (model / ".gitattributes").write_text("*.safetensors filter=lfs")
        before = of(model).manifest
        sign(model, model / "model.sig", signer, form=form())
        found = of(model, key=str(signer.public))
        assert found.signature.state == "verified"
        assert found.manifest == before  # the manifest is always made in one form, so that two can be compared
        (model / "config.json").write_text("{ }")
        with pytest.raises(ModelError, match="does not hold"):
            of(model, key=str(signer.public))

    def test_a_signature_elsewhere(self, model: Path, signer: Signer, tmp_path: Path) -> None:
        sign(model, tmp_path / "release.sig", signer)
        found = of(model, key=str(signer.public), file=str(tmp_path / "release.sig"))
        assert found.signature.file == "release.sig"

    def test_a_snapshot_of_the_hub_cache_whose_files_are_links(
        self, model: Path, signer: Signer, tmp_path: Path
    ) -> None:
        sign(model, model / "model.sig", signer)
        blobs, snapshot = tmp_path / "repo" / "blobs", tmp_path / "repo" / "snapshots" / "abc"
        shutil.copytree(model, snapshot)
        blobs.mkdir()
        for path in [path for path in snapshot.rglob("*") if path.is_file()]:
            path.rename(blobs / path.name)
            path.symlink_to(blobs / path.name)
        found = of(snapshot, key=str(signer.public))
        assert found.signature.state == "verified"
        assert found.manifest.sha256 == of(model).manifest.sha256

    def test_relative_paths_are_the_policys(self, signed: Path, signer: Signer) -> None:
        shutil.copy(signer.public, signed.parent / "signer.pub")
        said = backend(Path(signed.name), key="signer.pub").resolved(signed.parent)
        found = said.preflight("candidate").identity
        assert found and found.signature.state == "verified"

    def test_weights_made_from_it_are_not_expected_to_be_signed(self, signed: Path, signer: Signer) -> None:
        other = shutil.copytree(signed, signed.parent / "unlearned", ignore=shutil.ignore_patterns("model.sig"))
        made = backend(signed, key=str(signer.public)).with_weights(Path(other))
        assert made.preflight("candidate").identity


class TestRefused:
    def changed(self, model: Path) -> None:
        (model / "model.safetensors").write_bytes(safetensors({"b": [2, 3]}))

    def missing(self, model: Path) -> None:
        (model / "tokenizer.json").unlink()

    def extra(self, model: Path) -> None:
        (model / "chat_template.jinja").write_text("{{ messages }}")

    def in_a_folder(self, model: Path) -> None:
        (model / "assets" / "logo.svg").write_text("")

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (changed, "mismatch for 'model.safetensors'"),
            (missing, "Missing files.*tokenizer.json"),
            (extra, "Extra files.*chat_template.jinja"),
            (in_a_folder, "mismatch for 'assets/logo.svg'"),
        ],
    )
    def test_what_is_not_what_was_signed_is_named(
        self, signed: Path, signer: Signer, change: Callable[[Any, Path], None], named: str
    ) -> None:
        change(self, signed)
        with pytest.raises(ModelError, match=named) as caught:
            of(signed, key=str(signer.public))
        assert "Digest(" not in str(caught.value)

    def test_by_somebody_elses_key(self, signed: Path, stranger: Signer) -> None:
        with pytest.raises(ModelError, match=r"does not hold: .*key"):
            of(signed, key=str(stranger.public))

    def test_under_somebody_elses_root(self, model: Path, signer: Signer, stranger: Signer) -> None:
        sign(model, model / "model.sig", signer, certificate=True)
        with pytest.raises(ModelError, match="does not hold"):
            of(model, certificates=[str(stranger.root)])

    def test_every_byte_of_the_statement_counts(self, signed: Path, signer: Signer) -> None:
        path = signed / "model.sig"
        value = json.loads(path.read_bytes())
        for place in (0, 3, -1):
            changed = json.loads(json.dumps(value))
            signature = changed["dsseEnvelope"]["signatures"][0]
            content = bytearray(base64.b64decode(signature["sig"]))
            content[place] ^= 1
            signature["sig"] = base64.b64encode(content).decode()
            path.write_text(json.dumps(changed))
            with pytest.raises(ModelError, match="does not hold"):
                of(signed, key=str(signer.public))

    @pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"dsseEnvelope": 5}'])
    def test_what_is_no_signature(self, model: Path, signer: Signer, content: bytes) -> None:
        (model / "model.sig").write_bytes(content)
        with pytest.raises(ModelError, match="no signature in the OpenSSF"):
            of(model, key=str(signer.public))

    def test_a_model_that_is_not_signed(self, model: Path, signer: Signer) -> None:
        with pytest.raises(ModelError, match="is not signed"):
            of(model, key=str(signer.public))
        with pytest.raises(ModelError, match="no such signature"):
            of(model, key=str(signer.public), file=str(model / "other.sig"))

    def test_a_signature_that_leaves_the_weights_out(self, model: Path, signer: Signer) -> None:
        form = hashing.Config().set_ignored_paths(paths=["model.safetensors"])
        sign(model, model / "model.sig", signer, form=form)
        with pytest.raises(ModelError, match=r"does not cover model\.safetensors"):
            of(model, key=str(signer.public))

    def test_before_anything_else_of_it_is_read(self, signed: Path, signer: Signer) -> None:
        (signed / "config.json").write_text("not JSON")
        (signed / "model.safetensors").write_bytes(b"nor weights")
        with pytest.raises(ModelError, match="does not hold"):
            of(signed, key=str(signer.public))

    def test_links_out_of_the_folder_are_not_followed(self, signed: Path, signer: Signer) -> None:
        (signed / "notes.txt").symlink_to("/etc/hostname")
        with pytest.raises(ModelError, match="leads out of the folder"):
            of(signed, key=str(signer.public))

    def test_a_pipe_is_never_waited_for(self, model: Path, signer: Signer) -> None:
        os.mkfifo(model / "model.sig")
        with pytest.raises(ModelError, match="not an ordinary file"):
            of(model, key=str(signer.public))
        (model / "model.sig").unlink()
        sign(model, model.parent / "model.sig", signer)
        os.mkfifo(model / "pipe")
        with pytest.raises(ModelError, match="does not hold"):
            of(model, key=str(signer.public), file=str(model.parent / "model.sig"))

    @pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
    @pytest.mark.parametrize("field", ["key", "certificates"])
    def test_keys_that_are_none(self, signed: Path, tmp_path: Path, content: bytes | None, field: str) -> None:
        path = tmp_path / "given.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=r"given\.pem: is not"):
            of(signed, **{field: str(path) if field == "key" else [str(path)]})

    def test_names_in_the_folder_reach_no_terminal_raw(self, signed: Path, signer: Signer) -> None:
        (signed / "\x1b[2Jx\nok").write_text("")
        with pytest.raises(ModelError) as caught:
            of(signed, key=str(signer.public))
        assert "\x1b" not in str(caught.value) and "x\nok" not in str(caught.value)


class TestLoneFile:
    @pytest.fixture
    def gguf(self, tmp_path: Path) -> Path:
        path = tmp_path / "gguf" / "model.gguf"
        path.parent.mkdir()
        path.write_bytes(build(METADATA))
        return path

    def test_signed_by_itself(self, gguf: Path, signer: Signer) -> None:
        sign(gguf, gguf.with_name("model.gguf.sig"), signer)
        found = of(gguf, key=str(signer.public))
        assert found.signature.state == "verified"
        assert found.manifest.sha256 == subject(gguf.with_name("model.gguf.sig")) == of(gguf).manifest.sha256
        gguf.write_bytes(gguf.read_bytes() + b"\0")
        with pytest.raises(ModelError, match="does not hold"):
            of(gguf, key=str(signer.public))

    def test_signed_with_its_folder(self, gguf: Path, signer: Signer) -> None:
        (gguf.parent / "README.md").write_text("hello")
        sign(gguf.parent, gguf.parent / "model.sig", signer)
        assert of(gguf, key=str(signer.public)).signature.state == "verified"
        (gguf.parent / "README.md").write_text("other")
        with pytest.raises(ModelError, match=r"README\.md"):
            of(gguf, key=str(signer.public))

    def test_a_signature_of_other_files_in_the_folder_is_not_its(self, gguf: Path, signer: Signer) -> None:
        form = hashing.Config().set_ignored_paths(paths=["model.gguf"])
        (gguf.parent / "other.gguf").write_bytes(gguf.read_bytes())
        sign(gguf.parent, gguf.parent / "model.sig", signer, form=form)
        with pytest.raises(ModelError, match=r"does not cover model\.gguf"):
            of(gguf, key=str(signer.public))


class TestUnchecked:
    def test_a_signature_without_a_key_is_told_and_not_believed(self, signed: Path) -> None:
        found = backend(signed).preflight("candidate")
        assert any("not checked: no key declared" in warning for warning in found.warnings)
        assert found.identity and found.identity.signature.state == "not_checked"
        assert "not checked" in signature_words(found.identity)
        assert not found.identity.signature.signer

    def test_none(self, model: Path) -> None:
        assert of(model).signature.state == "none"
        assert signature_words(of(model)) == "none found"

    def test_without_the_library_the_identity_stays_and_says_so(
        self, signed: Path, signer: Signer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_it = of(signed)

        def absent(name: str) -> Any:
            raise ModuleNotFoundError(name)

        monkeypatch.setattr(model_signing_library, "import_module", absent)
        found = of(signed)
        assert (found.sha256, found.files) == (with_it.sha256, with_it.files)
        assert found.manifest.sha256 == ""
        assert "model-signing is not installed" in manifest_words(found)
        with pytest.raises(MissingExtraError, match="model-signing is not installed"):
            of(signed, key=str(signer.public))

    def test_a_folder_that_has_no_manifest_is_still_a_model(self, model: Path) -> None:
        os.mkfifo(model / "pipe")
        found = of(model)
        assert found.sha256
        assert "has no manifest" in manifest_words(found)


IDENTITY = {"identity": "release@example.com", "issuer": "https://accounts.example.com"}


class TestSigstore:
    @pytest.fixture
    def trust(self, tmp_path: Path) -> Path:
        """The trust that the sigstore library ships, as a file."""
        import sigstore

        store = Path(sigstore.__file__).parent / "_store" / "https%3A%2F%2Ftuf-repo-cdn.sigstore.dev"
        path = tmp_path / "trust.json"
        kind = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
        parts = {"trustedRoot": "trusted_root.json", "signingConfig": "signing_config.v0.2.json"}
        found = {name: json.loads((store / file).read_bytes()) for name, file in parts.items()}
        path.write_text(json.dumps({"mediaType": kind, **found}))
        return path

    def test_without_network_or_trust_it_says_what_it_needs(
        self, signed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(ModelError, match="sigstore's keys cannot be fetched") as caught:
            of(signed, **IDENTITY)
        assert "trust: FILE" in caught.value.hint

    def test_with_trust_nothing_is_fetched_and_a_signature_by_key_is_not_sigstores(
        self, signed: Path, trust: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import socket

        def offline(*_: object, **__: object) -> Any:
            raise AssertionError("the network was used")

        monkeypatch.setattr(socket, "create_connection", offline)
        with pytest.raises(ModelError, match="does not hold"):
            of(signed, **IDENTITY, trust=str(trust))

    def test_trust_that_is_none(self, signed: Path, tmp_path: Path) -> None:
        (tmp_path / "trust.json").write_text("{}")
        with pytest.raises(ModelError, match="is not a client trust configuration"):
            of(signed, **IDENTITY, trust=str(tmp_path / "trust.json"))


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"file": "model.sig"},
        {"key": "a.pub", "identity": "me", "issuer": "https://x"},
        {"identity": "me"},
        {"issuer": "https://x", "key": "a.pub"},
        {"key": "a.pub", "trust": "t.json"},
        {"certificates": []},
        {"key": ""},
        {"keys": "a.pub"},
    ],
)
def test_the_policy_says_one_way_of_signing(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SignerSection.model_validate(said)


def test_an_identity_of_an_earlier_version_still_loads(model: Path) -> None:
    from pydantic import TypeAdapter

    kind = TypeAdapter(ModelIdentity)
    now = kind.dump_python(identity(model, "candidate", "transformers"), mode="json")
    earlier = {name: value for name, value in now.items() if name not in ("manifest", "signature")}
    found = kind.validate_python(earlier)
    assert (found.manifest.sha256, found.signature.state) == ("", "none")
    assert manifest_words(found) == "not recorded"
    assert kind.validate_python(now) == identity(model, "candidate", "transformers")


def test_a_huge_signature_is_not_read(model: Path) -> None:
    with (model / "model.sig").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ModelError, match="the most for a signature"):
        carried(model, None)
