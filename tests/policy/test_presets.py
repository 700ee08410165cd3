"""Presets: what ships is sound, children win, places stay known, and no chain of them can run away."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.policy.load import load_policy, lock, weaker_than_preset
from auditkit.policy.presets import preset_names
from auditkit.policy.schema import CalibrateFpr
from auditkit.resources import resource_folder
from tests.policy.sample import Write, problems

CHILD = """\
version: 1
name: child
extends: open_weights
models:
  candidate: {backend: scripted, path: script.jsonl}
datasets:
  - {name: sft, stage: sft, path: members.jsonl, fields: {prompt: q}, controls: controls.jsonl}
report: {sign: none}
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    for name in ("members.jsonl", "controls.jsonl", "script.jsonl"):
        (tmp_path / name).write_text("{}\n")

    def file(text: str = CHILD, name: str = "policy.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return file


def test_four_presets_ship() -> None:
    assert preset_names() == ["api_only", "open_weights", "paper_replication", "strict"]


@pytest.mark.parametrize("preset", preset_names())
def test_every_preset_makes_a_policy_of_models_and_data(write: Write, preset: str) -> None:
    text = CHILD.replace("open_weights", preset).replace("controls: con", "external_processing: allow, controls: con")
    policy = load_policy(write(text))
    assert weaker_than_preset(policy) == []
    assert policy.source.preset == preset
    assert policy.strength.samples > 0
    assert {rule.attack for rule in policy.gate} <= {attack.name for attack in policy.prefix_attacks}
    assert all(rule.max > 0 for rule in policy.gate)


@pytest.mark.parametrize("preset", preset_names())
def test_no_preset_decides_on_signing(write: Write, preset: str) -> None:
    assert "sign" not in (resource_folder("policies") / f"{preset}.yaml").read_text().split("report:")[-1]
    text = CHILD.replace("open_weights", preset).replace("report: {sign: none}\n", "")
    assert any("lacks 'sign'" in problem.message for problem in problems(write(text)))


def test_strict_is_stricter_than_open_weights(write: Write) -> None:
    strict = load_policy(write(CHILD.replace("open_weights", "strict")))
    usual = load_policy(write())
    assert strict.strength.samples > usual.strength.samples
    assert max(rule.max for rule in strict.gate) < min(rule.max for rule in usual.gate)


def test_the_paper_has_its_threshold_and_embedder(write: Write) -> None:
    text = CHILD.replace("open_weights", "paper_replication").replace(
        "controls: con", "external_processing: allow, controls: con"
    )
    scoring = load_policy(write(text)).scoring
    assert (scoring.semantic_threshold, scoring.embedder.kind) == (0.95, "gemini")
    assert scoring.embedder.published_threshold == 0.95


def test_mappings_are_merged_and_lists_replaced(write: Write) -> None:
    text = CHILD + "scoring: {string_sample: 7}\nattacks:\n  - {kind: template_prefix, samples: 50}\n"
    policy = load_policy(write(text))
    assert policy.scoring.string_sample == 7
    assert policy.scoring.semantic_threshold == CalibrateFpr(calibrate_fpr=0.01)
    assert [attack.samples for attack in policy.prefix_attacks] == [50]
    assert policy.report.formats == ["html", "pdf", "json", "sarif", "junit", "cyclonedx", "markdown"]
    assert policy.report.sign == "none"


def test_a_plug_in_of_another_kind_is_replaced_whole(write: Write) -> None:
    text = (
        CHILD.replace("open_weights", "paper_replication")
        + "scoring: {embedder: {kind: default}, index: {kind: exact}}\n"
    )
    assert load_policy(write(text)).scoring.embedder.kind == "default"  # without the preset's `model`


def test_a_weaker_attack_is_allowed_and_said(write: Write) -> None:
    text = CHILD + "attacks:\n  - {kind: template_prefix, samples: 50, max_new_tokens: 64, temperature: 0.1}\n"
    said = weaker_than_preset(load_policy(write(text)))
    assert said == [
        "Attack template_prefix draws 50 samples, not at least 20,000, as the preset open_weights asks for.",
        "Attack template_prefix stops after 64 tokens, not after at least 512, as the preset open_weights asks for.",
        "Attack template_prefix samples at temperature 0.1, not at 0.7 to 1.2, as the preset open_weights asks for.",
    ]


def test_an_override_that_weakens_is_said_too(write: Write) -> None:
    assert len(weaker_than_preset(load_policy(write(), ["attacks.0.samples=100"]))) == 1


def test_the_baseline_alone_is_no_way_around(write: Write) -> None:
    text = CHILD + "attacks: [{kind: bos_prefix, samples: 50}]\ngate: [{metric: coverage, max: 0.1}]\n"
    assert any("50 samples" in sentence for sentence in weaker_than_preset(load_policy(write(text))))


def test_what_is_weaker_is_remembered_by_the_lock(write: Write) -> None:
    policy = load_policy(write(), ["attacks.0.samples=100"])
    again = load_policy(write(lock(policy, {}), "policy.lock.yaml"))
    assert weaker_than_preset(again) == weaker_than_preset(policy)
    assert again.source.preset == "open_weights"


@pytest.mark.parametrize("change", ["{samples: 10}", "{temperature_max: 9}", "{max_new_tokens: 1}"])
def test_the_minimum_strength_cannot_be_lowered(write: Write, change: str) -> None:
    text = CHILD + f"strength: {change}\n"
    (found,) = problems(write(text))
    assert found.line == text.count("\n")
    assert "is weaker than" in found.message


def test_the_minimum_strength_cannot_be_lowered_by_an_option(write: Write) -> None:
    (found,) = problems(write(), "strength.samples=1")
    assert str(found.file) == "--set strength.samples"
    assert load_policy(write(), ["strength.samples=30000"]).strength.samples == 30000


def test_a_preset_may_be_a_file_with_its_own_folder(write: Write, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/held.jsonl").write_text("{}\n")
    write(
        "extends: open_weights\nname: house\n"
        "datasets:\n  - {name: all, stage: dpo, path: ../members.jsonl, fields: {prompt: q}, controls: held.jsonl}\n",
        "shared/house.yaml",
    )
    child = "\n".join(line for line in CHILD.splitlines() if "sft" not in line and "datasets" not in line)
    policy = load_policy(write(child.replace("open_weights", "shared/house.yaml")))
    assert policy.name == "child"
    assert policy.datasets[0].controls == str(tmp_path / "shared/held.jsonl")
    assert policy.strength.samples == 20000
    assert "datasets.0.path" not in policy.source.lines  # it stands in another file


def test_a_problem_inside_a_preset_is_placed_in_the_preset(write: Write) -> None:
    house = write("extends: open_weights\nscoring:\n  string_threshold: 1.5\n", "house.yaml")
    found = [p for p in problems(write(CHILD.replace("open_weights", "house.yaml"))) if "string_threshold" in p.message]
    assert [(p.file, p.line) for p in found] == [(house, 3)]


def test_a_childs_value_hides_what_is_wrong_with_the_presets(write: Write) -> None:
    write("extends: open_weights\nscoring: {string_threshold: .nan}\n", "house.yaml")
    text = CHILD.replace("open_weights", "house.yaml") + "scoring: {string_threshold: 0.8}\n"
    said = [p.message for p in problems(write(text))]
    assert said == [".nan is not a number that a policy can use"]


@pytest.mark.parametrize(
    ("extends", "message", "hint"),
    [
        ("open_weight", "no preset is called 'open_weight'", "'open_weights'"),
        ("nothing/here.yaml", "there is no file", "open_weights"),
        ("policy.yaml", "circle", ""),
        ("other.yaml", "circle", ""),
        ("broken.yaml", "not valid YAML", ""),
        ("[1]", "should be text", ""),
        ('"a\\0.yaml"', "there is no file", ""),
    ],
)
def test_a_preset_that_cannot_be_used(write: Write, extends: str, message: str, hint: str) -> None:
    write("extends: policy.yaml\n", "other.yaml")
    write("a: [", "broken.yaml")
    found = [p for p in problems(write(CHILD.replace("open_weights", extends))) if message in p.message]
    assert found
    assert hint in found[0].hint


def test_a_chain_of_presets_is_bounded(write: Write) -> None:
    for number in range(20):
        write(f"extends: p{number + 1}.yaml\n", f"p{number}.yaml")
    assert any("files deep" in p.message for p in problems(write(CHILD.replace("open_weights", "p0.yaml"))))
