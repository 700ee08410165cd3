"""What a served model cannot do, and must not be sent, is said with the line of the policy that asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditkit.policy.load import load_policy
from tests.policy.sample import GOOD, Write, line_of, problems

LOCAL = "{backend: openai_compatible, base_url: 'http://127.0.0.1:8000/v1', model: m, api: %s}"
AWAY = "{backend: openai_compatible, base_url: 'https://api.example.com/v1', model: m, api: %s, api_key: 'env:K'}"
CHAT, RAW = LOCAL % "chat", (LOCAL % "completions").replace("}", ", tokenizer: tok}")
TOLD = RAW.replace("}", ", server: vllm, logprobs: prompt_logprobs}")
GEMINI = "{backend: gemini, model: gemini-9-flash}"
MESSAGES = "- {kind: chat_messages, samples: 20}"
TEMPLATE = "- {kind: template_prefix, samples: 200, prefix: auto}"
BOS = "- {kind: bos_prefix, samples: 20}"


def policy(candidate: str, attacks: str = MESSAGES, rest: str = "") -> str:
    text = GOOD.replace("{backend: scripted, path: script.jsonl}", candidate)
    text = text.replace(f"  {TEMPLATE}\n  {BOS}", "\n".join(f"  {line}" for line in attacks.splitlines()))
    return text.replace("attack: template_prefix", 'attack: "*"').replace("scoring:", f"{rest}\nscoring:")


PROBE = "probes:\n  - {kind: %s}"
ALLOWED = "external_processing: allow"

CASES: dict[str, tuple[str, str, str]] = {
    "a raw prompt by chat": (policy(CHAT, TEMPLATE), "kind: template_prefix", "reached as chat_api"),
    "a raw prompt to Gemini": (policy(GEMINI, BOS), "kind: bos_prefix", "reached as chat_api"),
    "a template that nobody knows": (policy(LOCAL % "completions", TEMPLATE), "template_prefix", "names no tokenizer"),
    "a BOS that nobody knows": (policy(LOCAL % "completions", BOS), "bos_prefix", "names no tokenizer"),
    "markers that nobody knows": (
        policy(CHAT, "- {kind: chat_messages, samples: 20, spoof: true}"),
        "spoof",
        "names no tokenizer",
    ),
    "top_k by OpenAI": (policy(RAW, "- {kind: bos_prefix, samples: 20, top_k: 5}"), "top_k", "no top_k"),
    "likelihoods that are not told": (policy(CHAT, rest=PROBE % "zlib_ratio"), "kind: zlib_ratio", "does not tell"),
    "more than likelihoods": (policy(TOLD, BOS, PROBE % "min_k_plus_plus"), "min_k_plus_plus", "no server tells"),
    "a sampler's view": (policy(TOLD, BOS, PROBE % "extraction_probability"), "extraction_p", "no server tells"),
    "gradients": (policy(TOLD, BOS, PROBE % "gradient_alignment"), "gradient_al", "needs gradients"),
    "ranked openings": (
        policy(RAW, "- {kind: literal_prefixes, samples: 9, openings: [{text: a}], likely: 1}"),
        "likely",
        "does not tell",
    ),
    "mitigations unmeasured": (
        policy(CHAT, rest="mitigations:\n  - {kind: sampling_limits, max_new_tokens: 9}"),
        "mitigations:",
        "log-probabilities",
    ),
    "records over the network": (
        policy(AWAY % "chat", f"{MESSAGES}\n- {{kind: guided_completion}}"),
        "external_processing: forbid",
        "asked texts of dataset 'sft' over the network",
    ),
    "records to Gemini": (
        policy(GEMINI, f"{MESSAGES}\n- {{kind: guided_completion}}"),
        "external_processing: forbid",
        "over the network",
    ),
    "extractions to a judge": (
        policy(CHAT, rest=f"worth:\n  filter:\n    judge:\n      model: {AWAY % 'chat'}"),
        "      model: {",
        "the judge is sent what was extracted over the network, which 'sft' forbids",
    ),
    "a judge whose template nobody knows": (
        policy(CHAT, rest=f"worth:\n  filter:\n    judge:\n      model: {LOCAL % 'completions'}"),
        "      model: {",
        "the judge is asked through its chat template",
    ),
    "a judge that answers nothing": (
        policy(CHAT, rest="worth:\n  filter:\n    judge:\n      model: {backend: scripted, lines: [{user: a}]}"),
        "      model: {",
        "cannot answer questions",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_at_its_line(case: str, write: Write) -> None:
    text, blamed, message = CASES[case]
    found = problems(write(text))
    fitting = [problem for problem in found if message in problem.message]
    assert fitting, [str(problem) for problem in found]
    assert fitting[0].line == line_of(text, blamed)
    assert fitting[0].hint


@pytest.mark.parametrize(
    "text",
    [
        policy(CHAT),
        policy(GEMINI),
        policy(AWAY % "chat"),
        policy(CHAT, f"{MESSAGES}\n- {{kind: guided_completion}}"),
        policy(AWAY % "chat", f"{MESSAGES}\n- {{kind: guided_completion}}").replace(
            "external_processing: forbid", ALLOWED
        ),
        policy(RAW, f"{TEMPLATE}\n{BOS}\n- {{kind: segmented_prefix, samples: 9}}"),
        policy(TOLD, BOS, PROBE % "zlib_ratio"),
        policy(TOLD, f"{BOS}\n- {{kind: literal_prefixes, samples: 9, openings: [{{text: a}}], likely: 1}}"),
        policy(LOCAL % "completions", "- {kind: literal_prefixes, samples: 9, openings: [{text: a}]}"),
    ],
    ids=["chat", "gemini", "away", "asking here", "asking away", "raw", "told", "ranked", "by hand"],
)
def test_what_can_be_served_loads(text: str, write: Write) -> None:
    found = load_policy(write(text))
    assert found.models.candidate.reach in ("raw_api", "chat_api")


def test_the_tokenizers_folder_is_the_policys(write: Write) -> None:
    path = write(policy(RAW))
    assert load_policy(path).models.candidate.model_dump()["tokenizer"] == str(Path(path).parent / "tok")
