"""The paper's experiments as policies: complete, pinned, and as the paper has them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from auditkit.attacks.template_prefix import LiteralPrefix, TemplatePrefix
from auditkit.errors import PolicyError
from auditkit.policy.load import load_policy, weaker_than_preset
from auditkit.policy.schema import Policy
from auditkit.worth.tasks import read_tasks

EXAMPLES = Path(__file__).parents[2] / "examples"
PIN = re.compile(r"hub://[^@\s]+@([0-9a-f]{40})\b")
COMMIT = "models.candidate.path=hub://Open-Reasoner-Zero/Open-Reasoner-Zero-7B@" + "0123456789" * 4


def fetcher(script: str = "open_reasoner_zero/fetch.py") -> ModuleType:
    spec = importlib.util.spec_from_file_location(Path(script).stem, EXAMPLES / script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def orz(tmp_path: Path) -> Path:
    """The example's folder with data of the published form, fetched by its script from a file instead of the net."""
    shutil.copy(EXAMPLES / "open_reasoner_zero/policy.yaml", tmp_path)
    pairs = [[{"from": "human", "value": "1+1?"}, {"from": "assistant", "ground_truth": {"value": "2"}}]]
    assert fetcher().write(pairs, tmp_path / "data/orz57k.jsonl") == 1
    return tmp_path


def prefix_of(policy: Policy) -> str:
    attack = policy.prefix_attacks[0]
    assert isinstance(attack, TemplatePrefix) and isinstance(attack.prefix, LiteralPrefix)
    return attack.prefix.literal


def test_olmo_2_is_accepted_without_a_network() -> None:
    policy = load_policy(EXAMPLES / "olmo2/policy.yaml")
    assert prefix_of(policy) == "<|endoftext|><|user|>\n"
    assert [attack.samples for attack in policy.prefix_attacks] == [1_000_000, 10_000]
    assert policy.scoring.string_sample == 100_000
    assert weaker_than_preset(policy) == []


def test_open_reasoner_zero_is_accepted_once_it_is_filled_in(orz: Path) -> None:
    policy = load_policy(orz / "policy.yaml", [COMMIT])
    prefix = prefix_of(policy)
    assert prefix.startswith("A conversation between User and Assistant. The User asks a question, and the Assistant")
    assert prefix.endswith("by the \\boxed{} tag.\nThis is the problem:\n")
    assert "  " not in prefix and prefix.count("\n") == 2
    assert policy.prefix_attacks[0].samples == 100_000
    section = policy.datasets[0]
    assert section.stage == "rl" and section.trace is not None
    assert (section.trace.start, section.trace.end, section.trace.answer) == ("<think>", "</think>", "\\boxed{}")
    assert json.loads(Path(section.path).read_text()) == {"prompt": "1+1?", "answer": "2"}


def test_open_reasoner_zero_says_exactly_what_is_to_be_filled_in(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "open_reasoner_zero/policy.yaml", tmp_path)
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path / "policy.yaml")
    said = [problem.message for problem in caught.value.problems]
    assert len(said) == 2
    assert "`models.candidate.path`" in said[0] and "FILL-IN-THE-COMMIT" in said[0]
    assert "`datasets[0].path`" in said[1] and "orz57k.jsonl" in said[1]


@pytest.mark.parametrize("name", ["olmo2", "open_reasoner_zero"])
def test_the_papers_embedder_and_thresholds(name: str, orz: Path) -> None:
    path, change = (orz / "policy.yaml", [COMMIT]) if name != "olmo2" else (EXAMPLES / "olmo2/policy.yaml", [])
    policy = load_policy(path, change)
    embedder = policy.scoring.embedder
    assert (embedder.kind, embedder.model_dump()["model"]) == ("gemini", "gemini-embedding-001")
    assert embedder.published_threshold == policy.scoring.semantic_threshold == 0.95
    assert policy.scoring.string_threshold == 0.9
    assert policy.prefix_attacks[0].temperature == 1
    assert all(section.external_processing == "allow" for section in policy.datasets)
    assert all(section.controls for section in policy.datasets)


@pytest.mark.parametrize("name", ["olmo2", "open_reasoner_zero"])
def test_the_readme_names_the_commits_of_the_policy(name: str) -> None:
    text = (EXAMPLES / name / "policy.yaml").read_text()
    readme = (EXAMPLES / name / "README.md").read_text()
    commits = PIN.findall(text)
    assert len(commits) >= 2
    assert all(commit in readme for commit in commits)


@pytest.fixture
def worth(tmp_path: Path) -> dict[str, Path]:
    """Both policies on what their leak is worth, with tasks of the published form written by the scripts."""
    gsm8k = [{"question": f"{n} + {n}?", "answer": f"Twice {n}.\n#### {2 * n:,}"} for n in range(1000, 1012)]
    for name in ("olmo2", "open_reasoner_zero"):
        (tmp_path / name).mkdir()
        shutil.copy(EXAMPLES / name / "worth.yaml", tmp_path / name)
    tasks, rest = fetcher("olmo2/fetch_tasks.py"), fetcher("open_reasoner_zero/fetch_worth.py")
    assert tasks.write(gsm8k, tmp_path / "olmo2/data/gsm8k_test.jsonl") == len(gsm8k)
    data = tmp_path / "open_reasoner_zero/data"
    math = [{"problem": f"Solve x = {n}.", "answer": f"\\frac{{{n}}}{{7}}", "level": 5} for n in range(20)]
    assert rest.write(rest.tasks(math), data / "math500.jsonl") == len(math)
    assert rest.write(rest.controls(gsm8k), data / "gsm8k_train.jsonl") == len(gsm8k)
    fetcher().write([[{"value": "1+1?"}, {"ground_truth": {"value": "2"}}]], data / "orz57k.jsonl")
    return {name: tmp_path / name / "worth.yaml" for name in ("olmo2", "open_reasoner_zero")}


def test_what_olmo_2_s_leak_is_worth_is_asked_as_table_2_asks_it(worth: dict[str, Path]) -> None:
    policy = load_policy(worth["olmo2"])
    assert policy.worth is not None and policy.worth.lm_eval is not None
    assert (policy.worth.recipe.method, policy.worth.filter.judge is not None) == ("sft", True)
    found = read_tasks(policy.worth.tasks[0])
    assert [task.answer for task in found[:2]] == ["2000", "2002"], "the final answer alone, without separators"


def test_what_open_reasoner_zero_s_leak_is_worth_is_asked_as_figure_9_asks_it(worth: dict[str, Path]) -> None:
    policy = load_policy(worth["open_reasoner_zero"], [COMMIT])
    assert policy.worth is not None and policy.models.base is not None
    recipe = policy.worth.recipe
    assert (recipe.method, recipe.check, recipe.samples) == ("dr_grpo", "boxed", 8)
    assert policy.worth.filter.final_answer and policy.worth.filter.majority
    attack = yaml.safe_load((EXAMPLES / "open_reasoner_zero/policy.yaml").read_text())["attacks"][0]
    assert prefix_of(policy) == attack["prefix"]["literal"]
    assert [task.answer for task in read_tasks(policy.worth.tasks[0])[1:3]] == ["1/7", "2/7"]
    controls = Path(str(policy.datasets[0].controls)).read_text().splitlines()
    assert json.loads(controls[0]) == {"prompt": "1000 + 1000?", "answer": "2,000"}


@pytest.mark.parametrize("name", ["olmo2", "open_reasoner_zero"])
def test_the_readme_names_the_commits_of_what_the_leak_is_worth(name: str) -> None:
    readme = (EXAMPLES / name / "README.md").read_text()
    files = [EXAMPLES / name / "worth.yaml", *(EXAMPLES / name).glob("fetch_*.py")]
    commits = re.findall(r"\b[0-9a-f]{40}\b", "".join(file.read_text() for file in files))
    assert len(commits) >= 2
    assert all(commit in readme for commit in commits)


def test_the_data_is_fetched_at_one_commit() -> None:
    source = fetcher().SOURCE
    assert re.search(r"/[0-9a-f]{40}/data/orz_math_57k_collected\.json$", source)
    assert fetcher().COMMIT in (EXAMPLES / "open_reasoner_zero/README.md").read_text()
