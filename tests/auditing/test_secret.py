"""The project's secret: made once, and read only where it is the plain file that an audit makes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from auditkit import load_policy
from auditkit.auditing.secret import FILE_NAME, project_secret
from auditkit.errors import AuditkitError
from auditkit.policy.schema import Policy
from tests.auditing.audited import policy, project


@pytest.fixture
def declared(tmp_path: Path) -> Policy:
    """A policy whose project has no secret yet."""
    file = project(tmp_path) / "policy.yaml"
    file.write_text(yaml.safe_dump(json.loads(json.dumps(policy(3)))))
    return load_policy(file)


def test_it_is_made_once(declared: Policy, tmp_path: Path) -> None:
    first = project_secret(declared)
    assert project_secret(declared) == first and len(first) == 64
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


def test_a_pipe_is_refused_and_not_waited_for(declared: Policy, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(AuditkitError, match="a pipe or a device") as caught:
        project_secret(declared)
    assert caught.value.hint


@pytest.mark.parametrize("target", ["elsewhere", "/dev/zero", "nothing"])
def test_a_link_is_refused_wherever_it_leads(declared: Policy, tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").write_text("0123456789abcdef" * 4)
    (tmp_path / FILE_NAME).symlink_to(target)
    with pytest.raises(AuditkitError, match="it is a link"):
        project_secret(declared)


def test_a_folder_in_its_place_is_refused(declared: Policy, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(AuditkitError, match="cannot read"):
        project_secret(declared)


def test_one_that_is_too_long_is_refused(declared: Policy, tmp_path: Path) -> None:
    with (tmp_path / FILE_NAME).open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: it takes no room
    with pytest.raises(AuditkitError, match="over 4,096 bytes"):
        project_secret(declared)


def test_one_that_is_too_short_is_refused(declared: Policy, tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("short\n")
    with pytest.raises(AuditkitError, match="at least 16 bytes"):
        project_secret(declared)
