"""What the pages say of a model's manifest and signature."""

from __future__ import annotations

from dataclasses import replace

from auditkit.records import ModelIdentity, ModelManifest, ModelSignature
from auditkit.report.document import PAPER, render
from auditkit.report.model_words import ignored_words, manifest_words
from tests.report.builder import model, small_report

MANIFEST = ModelManifest("9" * 64, 5, {"method": "files", "hash_type": "sha256", "ignore_paths": [".git", "model.sig"]})
VERIFIED = ModelSignature("verified", "certificate", "CN=Release <Team>", "model.sig", "8" * 64, "9" * 64)


def page(found: ModelIdentity, redacted: bool = False) -> str:
    return render(small_report(models=[found]), PAPER, redacted)


def test_a_verified_signature_stands_on_page_one_and_in_the_provenance() -> None:
    found = replace(model("candidate"), manifest=MANIFEST, signature=VERIFIED)
    for redacted in (False, True):
        text = page(found, redacted)
        line = "verified before the audit, by certificate chain: CN=Release &lt;Team&gt; (model.sig)"
        assert text.count(line) == 2
        assert text.index(line) < text.index('<section class="rules">')
        assert "9" * 64 in text and "8" * 64 in text


def test_an_unchecked_signature_is_never_told_as_one_that_holds() -> None:
    reason = "carries a signature (model.sig), not checked: no key declared"
    text = page(replace(model("candidate"), signature=ModelSignature("not_checked", file="model.sig", reason=reason)))
    assert text.count(reason) == 2
    assert "verified before the audit" not in text


def test_without_either_it_says_so() -> None:
    text = page(replace(model("candidate"), manifest=MANIFEST))
    assert text.count("none found") == 2
    missing = replace(model("candidate"), manifest=ModelManifest(reason="model-signing is not installed"))
    assert manifest_words(missing) == "not made: model-signing is not installed"


def test_what_was_never_looked_for_is_not_told_as_not_there() -> None:
    """As in reports of earlier versions, and of models that are no files."""
    text = page(model("candidate"))
    assert "not looked for" in text and "not recorded" in text and "none found" not in text


def test_what_a_manifest_leaves_out_is_told() -> None:
    found = replace(model("candidate"), manifest=MANIFEST)
    assert manifest_words(found) == f"{'9' * 64} over 5 files, serialised as files, sha256"
    assert ignored_words(found) == ".git, model.sig"
