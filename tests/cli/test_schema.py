"""``auditkit schema`` is a JSON Schema that the shipped policies satisfy, and mistakes do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from auditkit.cli.schema import schema
from auditkit.policy.load import load_policy, lock
from auditkit.registry import DISCRIMINATOR, FAMILIES, kinds, plugin_class
from auditkit.resources import resource_folder

ROOT = Path(__file__).parents[2]
POLICIES = sorted([*(ROOT / "examples").glob("*/*.yaml"), ROOT / "templates/init/policy.yaml"])


@pytest.fixture(scope="module")
def printed() -> dict[str, Any]:
    result = CliRunner().invoke(schema)
    assert result.exit_code == 0
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def errors(printed: dict[str, Any], policy: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(printed).iter_errors(policy)]


def test_it_is_a_valid_schema_of_its_dialect(printed: dict[str, Any]) -> None:
    assert printed["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(printed)


def test_every_reference_leads_somewhere(printed: dict[str, Any]) -> None:
    text = json.dumps(printed)
    names = {part.split('"')[0] for part in text.split('"#/$defs/')[1:]}
    assert names <= set(printed["$defs"])
    assert text.count('"$defs"') == 1


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_shipped_policy_satisfies_it(printed: dict[str, Any], path: Path) -> None:
    assert errors(printed, yaml.safe_load(path.read_text().replace("@NAME@", "x"))) == []


def test_a_lock_satisfies_it(printed: dict[str, Any], tmp_path: Path) -> None:
    for name in ("members.jsonl", "controls.jsonl", "script.jsonl"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "policy.yaml").write_text(
        "{version: 1, name: x, extends: strict, report: {sign: none}, models: {candidate: {backend: scripted, path: "
        "script.jsonl}}, datasets: [{name: d, stage: rl, path: members.jsonl, controls: controls.jsonl, fields: "
        "{prompt: q}}]}"
    )
    assert errors(printed, yaml.safe_load(lock(load_policy(tmp_path / "policy.yaml"), {"models": {}}))) == []


@pytest.mark.parametrize(
    "change",
    [
        {"nme": "x"},
        {"version": 2},
        {"gate": []},
        {"attacks": [{"kind": "template_prefx", "samples": 1}]},
        {"report": {}},
    ],
)
def test_mistakes_do_not_satisfy_it(printed: dict[str, Any], change: dict[str, Any]) -> None:
    policy = yaml.safe_load((ROOT / "examples/olmo2/policy.yaml").read_text())
    assert errors(printed, {**policy, **change})


def test_without_a_preset_every_section_is_required(printed: dict[str, Any]) -> None:
    policy = yaml.safe_load((ROOT / "examples/olmo2/policy.yaml").read_text())
    policy.pop("extends")
    assert any("'gate' is a required property" in message for message in errors(printed, policy))


def test_every_plug_in_of_a_policy_is_in_it(printed: dict[str, Any]) -> None:
    text = json.dumps(printed)
    for family in FAMILIES:
        for kind in kinds(family):
            assert f'"{kind}"' in text, f"{DISCRIMINATOR[family]} {kind}"
            if family == "formats":  # named in report.formats, without parameters of their own
                continue
            for field in plugin_class(family, kind).model_fields.values():
                assert json.dumps(field.description or "")[1:-1] in text


def test_it_answers_without_loading_a_heavy_library() -> None:
    code = (
        "import sys; from auditkit.cli.schema import policy_schema; policy_schema();"
        "heavy = {'torch', 'transformers', 'scipy', 'pyarrow', 'matplotlib', 'wordllama', 'google.genai', 'vllm'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_its_presets_are_where_the_package_looks(printed: dict[str, Any]) -> None:
    for preset in resource_folder("policies").glob("*.yaml"):
        keys = yaml.safe_load(preset.read_text())
        assert set(keys) <= set(printed["properties"])
