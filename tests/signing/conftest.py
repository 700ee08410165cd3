"""A small finished run, and the keys that sign it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from auditkit.signing.keygen import KeyFiles, generate
from auditkit.signing.keys import SigningKeys, load_signing_keys
from tests.signing.sample_run import render_page, write_run


@pytest.fixture(scope="session")
def pdf() -> bytes:
    """A page, rendered as reports are."""
    return render_page()


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate(tmp_path_factory.mktemp("keys"), label="DEMO")


@pytest.fixture(scope="session")
def other_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """Somebody else's keys."""
    return generate(tmp_path_factory.mktemp("other"), subject="somebody else")


@pytest.fixture(scope="session")
def keys(key_files: KeyFiles) -> SigningKeys:
    return load_signing_keys(str(key_files.private), key_files.certificate)


@pytest.fixture(scope="session")
def other_keys(other_files: KeyFiles) -> SigningKeys:
    return load_signing_keys(str(other_files.private), other_files.certificate)


@pytest.fixture(scope="session")
def signed_run(tmp_path_factory: pytest.TempPathFactory, pdf: bytes, keys: SigningKeys) -> Path:
    """A signed run; tests that change it take a copy."""
    return write_run(tmp_path_factory.mktemp("runs") / "signed", pdf, keys)


@pytest.fixture(scope="session")
def unsigned_run(tmp_path_factory: pytest.TempPathFactory, pdf: bytes) -> Path:
    """A run of a policy that says ``sign: none``."""
    return write_run(tmp_path_factory.mktemp("runs") / "unsigned", pdf, None)


@pytest.fixture
def run(signed_run: Path, tmp_path: Path) -> Path:
    """A copy of the signed run, to change at will."""
    return Path(shutil.copytree(signed_run, tmp_path / "run"))


@pytest.fixture
def make_run(tmp_path: Path, pdf: bytes) -> Callable[..., Path]:
    """Makes a run with another outcome, signer or policy override."""

    def make(keys: SigningKeys | None, outcome: str = "pass", **facts: Any) -> Path:
        return write_run(tmp_path / "made", pdf, keys, outcome, None, **facts)

    return make
