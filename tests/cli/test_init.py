"""``auditkit init`` writes a project that loads, and leaves alone what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from auditkit.cli.init import FILES, init, write_project
from auditkit.errors import AuditkitError, RunError
from auditkit.policy.load import load_policy, weaker_than_preset


def test_it_writes_policy_data_and_ci(tmp_path: Path) -> None:
    result = CliRunner().invoke(init, [str(tmp_path / "my audit!")])
    assert result.exit_code == 0
    folder = tmp_path / "my audit!"
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(FILES.values())
    assert str(folder / "policy.yaml") in result.stdout
    assert "auditkit check" in result.stderr
    assert "@NAME@" not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())


def test_the_policy_loads_as_it_is(tmp_path: Path) -> None:
    write_project(tmp_path / "my audit!")
    policy = load_policy(tmp_path / "my audit!/policy.yaml")
    assert policy.name == "my-audit"
    assert policy.source.preset == "open_weights"
    assert weaker_than_preset(policy) == []
    assert policy.models.candidate.model_dump()["path"] == str(tmp_path / "my audit!/weights/post")


def test_every_commented_line_of_the_policy_is_good_too(tmp_path: Path) -> None:
    write_project(tmp_path)
    text = (tmp_path / "policy.yaml").read_text()
    lists = "\n".join(
        line[2:] for line in text.splitlines() if line.startswith(("# attacks:", "# probes:", "#   - {kind"))
    )
    text = text.replace("scoring:\n", f"{lists}\nscoring:\n")
    text = text.replace("  sign: none  ", "  # sign: none").replace("  # sign: {key", "  sign: {key")
    text = text.replace("  # base:  ", "  base:  # ").replace("  #   {backend", "    {backend")
    (tmp_path / "policy.yaml").write_text(text)
    policy = load_policy(tmp_path / "policy.yaml")
    assert policy.report.sign != "none"
    assert policy.models.base is not None
    assert [attack.samples for attack in policy.prefix_attacks] == [20000, 2000]
    assert [probe.kind for probe in policy.probes] == ["extraction_probability", "min_k_plus_plus", "likelihood_shift"]


def test_the_sample_data_can_be_read(tmp_path: Path) -> None:
    from auditkit.corpus.fields import FieldMap
    from auditkit.corpus.read import read_corpus

    write_project(tmp_path)
    section = load_policy(tmp_path / "policy.yaml").datasets[0]
    fields = FieldMap(**section.fields.model_dump())
    for path, split in ((section.path, "member"), (section.controls, "control")):
        corpus = read_corpus(str(path), fields, dataset="d", split=split)  # type: ignore[arg-type]
        assert len(corpus.records) == 4
        assert corpus.bad == ()


@pytest.mark.parametrize("name", ["ci/github-actions.yml", "ci/gitlab-ci.yml"])
def test_the_ci_snippets_run_the_audit(tmp_path: Path, name: str) -> None:
    write_project(tmp_path)
    text = (tmp_path / name).read_text()
    assert isinstance(yaml.safe_load(text), dict)
    assert "AUDITKIT_POLICY: policy.yaml" in text  # what they do with it: tests/ci
    assert "report.html" not in text  # texts of the data stay on the runner


def test_the_default_folder_is_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(init).exit_code == 0
    assert (tmp_path / "policy.yaml").is_file()


@pytest.mark.parametrize("name", ["policy.yaml", ".gitignore", "data/members.jsonl"])
def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(AuditkitError, match="already there") as caught:
        write_project(tmp_path)
    assert name in caught.value.message
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / name]
    assert (tmp_path / name).read_text() == "mine"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditkitError, match="already there"):
        write_project(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AuditkitError, match="is a file"):
        write_project(tmp_path / "file")


def test_a_folder_that_cannot_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written to") as caught:
        write_project(tmp_path / "file/below")
    assert caught.value.exit_code == 4
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
