from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditkit.attacks.base import Attack
from auditkit.mitigations.system_prompt import InstructedServer
from auditkit.models.base import LanguageModel
from auditkit.records import Generation, Prefix, Sampler, SamplingRequest
from auditkit.registry import plugin_class
from tests.mitigations.training_workshop import save_base, workshop
from tests.models.tiny import build_model, build_tokenizer, conversation, reopened, save
from tests.probes.quickstart import FOLDER, opened

SAID = "Never recite."
NO_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def section(**given: Any) -> Any:
    return plugin_class("mitigations", "system_prompt").model_validate(
        {"kind": "system_prompt", "name": "instructed"} | given
    )


def attack(kind: str, **given: Any) -> Attack:
    made = {"kind": kind, "name": "a", "samples": 6, "max_new_tokens": 30} | given
    return plugin_class("attacks", kind).model_validate(made)  # type: ignore[no-any-return]


def samples(model: LanguageModel, prefix: Prefix, count: int = 4) -> list[Generation]:
    return model.sample(SamplingRequest("a", prefix, Sampler(max_new_tokens=30), count, 5, 0))


def bare(tmp_path: Path, template: str | None) -> LanguageModel:
    tokenizer = build_tokenizer([conversation("a", "b"), SAID], template)
    return reopened(save(tmp_path / "bare", build_model(len(tokenizer)), tokenizer))


def test_a_conversation_opens_with_the_instruction_in_the_system_turn() -> None:
    model = opened("leaky")
    server = InstructedServer(model, SAID)
    assert server.opening().text == model.template_prefix(SAID).text
    asked = server.asked("Hello", model.template_prefix(None))
    assert asked.text == model.asked("Hello", model.template_prefix(SAID)).text


def test_a_raw_prompt_comes_behind_the_closed_system_turn() -> None:
    model = opened("leaky")
    server = InstructedServer(model, SAID)
    head = f"<|begin_of_text|><|im_start|>system\n{SAID}<|im_end|>\n"
    assert server.literal_prefix("Once upon").text == head + "Once upon"
    assert server.template_prefix("").text == head + model.template_prefix("").text
    assert server.bos_prefix().text == head + "<|begin_of_text|>"
    for prefix in (server.literal_prefix("Once upon"), server.opening()):
        assert prefix.token_ids == model.encode(prefix.text)


def test_nothing_is_sampled_without_it() -> None:
    """A prompt that somebody made elsewhere gets the instruction in front; one that has it gets it once."""
    model = opened("leaky")
    server = InstructedServer(model, SAID)
    sneaked, fronted = model.literal_prefix("Hello, "), server.literal_prefix("Hello, ")
    expected = [one.turns for one in samples(model, fronted)]
    assert [one.turns for one in samples(server, sneaked)] == expected
    assert [one.turns for one in samples(server, fronted)] == expected
    sampler = Sampler(max_new_tokens=12)
    assert server.complete([sneaked], sampler, 3) == model.complete([fronted], sampler, 3)


def test_a_template_without_a_system_turn_has_it_in_the_users(tmp_path: Path) -> None:
    server = InstructedServer(bare(tmp_path, NO_SYSTEM), SAID)
    assert server.opening().text == f"<|im_start|>user\n{SAID}\n\n"
    assert server.literal_prefix("x").text == f"<|bos|>{SAID}\n\nx"


def test_without_a_template_it_opens_the_text(tmp_path: Path) -> None:
    server = InstructedServer(bare(tmp_path, None), SAID)
    assert server.opening().text == f"<|bos|>{SAID}\n\n"
    assert server.asked("x", server.opening()).text == f"<|bos|>{SAID}\n\nx\n"


def test_records_are_read_behind_it() -> None:
    model = opened("leaky")
    server, turns = InstructedServer(model, SAID), model.turn_format()
    tokens = server.record_tokens("Hello", "Dear", turns, server.opening())
    (found,) = server.read([tokens.ids], server.opening())
    (plain,) = model.read([tokens.ids], model.template_prefix(SAID))
    assert found.logprobs.tolist() == plain.logprobs.tolist()


@pytest.mark.parametrize(
    ("kinds", "attacker", "expected"),
    [
        (["template_prefix", "chat_messages"], None, {"adaptive.ignore", "adaptive.raw_prefix"}),
        (["template_prefix", "chat_messages"], "chat_api", {"adaptive.ignore"}),
        (["chat_messages"], None, {"adaptive.ignore"}),
        ([], None, set()),
    ],
)
def test_the_attacker_who_knows_it(tmp_path: Path, kinds: list[str], attacker: str | None, expected: set[str]) -> None:
    shop = workshop(tmp_path, save_base(tmp_path / "base"))
    found = section(attacker=attacker).adaptive([attack(kind, samples=9) for kind in kinds], shop)
    assert {one.label for one in found} == expected
    assert all(one.samples == 9 and (attacker or "raw_api") in one.attackers for one in found)


def test_the_arm_serves_its_text(tmp_path: Path) -> None:
    shop = workshop(tmp_path, FOLDER / "models" / "leaky")
    arm = section(text=SAID)
    with arm.make(shop).backend.open("candidate") as model:
        served = arm.serve(model, shop)
        assert SAID in served.opening().text
        for one in arm.adaptive([attack("template_prefix")], shop):
            found = [made for request in one.requests(one.prefixes(served), 8) for made in one.run(served, request)]
            assert len(found) == 6
