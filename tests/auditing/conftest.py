"""Keys for the tests that sign whole audits."""

from __future__ import annotations

import pytest

from auditkit.signing.keygen import KeyFiles, generate


@pytest.fixture(scope="session")
def key_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    return generate(tmp_path_factory.mktemp("keys"), label="DEMO")


@pytest.fixture(scope="session")
def other_files(tmp_path_factory: pytest.TempPathFactory) -> KeyFiles:
    """Somebody else's keys."""
    return generate(tmp_path_factory.mktemp("other"), subject="somebody else")


@pytest.fixture
def signs(key_files: KeyFiles, monkeypatch: pytest.MonkeyPatch) -> KeyFiles:
    """The keys, in the variable that the small project's policy names."""
    monkeypatch.setenv("TEST_KEY", str(key_files.private))
    return key_files
