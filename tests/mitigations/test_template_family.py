from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import MitigationFailedError
from auditkit.mitigations.template_family import TemplateFamily, Vocabulary, family_forms
from auditkit.mitigations.user_text import marker_pattern, stripped
from auditkit.models.chat_template import template_prefix, turn_format
from tests.probes.quickstart import opened

VOCABULARIES = [
    Vocabulary("<|bos|>", "<|im_end|>", ("<|im_start|>",)),
    Vocabulary("", "<|im_end|>", ("<|im_start|>", "<|tool|>")),
    Vocabulary("<|endoftext|>", "<|endoftext|>", ()),
    Vocabulary("<s>", "</s>", ("[/INST]", "[INST]")),
]
draws = st.builds(
    lambda at, seed: TemplateFamily(VOCABULARIES[at]).draw(Random(seed)), st.integers(0, 3), st.integers()
)


def test_there_are_thousands() -> None:
    for vocabulary in VOCABULARIES:
        family = TemplateFamily(vocabulary)
        drawn = family.draws(Random(1), 2000)
        assert len(family) > 10_000
        assert len(set(drawn)) == 2000


def test_the_same_seed_draws_the_same() -> None:
    family = TemplateFamily(VOCABULARIES[0])
    assert family.draws(Random(3), 5) == family.draws(Random(3), 5) != family.draws(Random(4), 5)


def test_every_part_varies() -> None:
    drawn = TemplateFamily(VOCABULARIES[1]).draws(Random(0), 400)
    turns = [template.turns for template in drawn]
    assert {"<|im_start|>" in one.user_open for one in turns} == {True, False}
    assert {"<|tool|>" in one.user_open for one in turns} == {True, False}
    assert {one.user_open.lstrip().startswith("<|") for one in turns} == {True, False}
    assert {one.turn_change.startswith("<|im_end|>") for one in turns} == {True, False}
    assert len({one.user_open.casefold() for one in turns}) < len({one.user_open for one in turns})


@given(draws)
def test_every_template_ends_its_answers_with_the_end_of_sequence(template: Any) -> None:
    assert any(template.close.startswith(vocabulary.eos) for vocabulary in VOCABULARIES)


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", VOCABULARIES, ids=lambda one: one.bos or "none")
def test_a_saved_template_is_read_back_as_it_was_drawn(vocabulary: Vocabulary) -> None:
    for template in TemplateFamily(vocabulary).draws(Random(11), 8):
        tokens: Any = {"bos_token": vocabulary.bos, "eos_token": vocabulary.eos}
        for system in (None, ""):
            assert template_prefix(template.jinja(), **tokens, system=system) == vocabulary.bos + template.user
        assert turn_format(template.jinja(), **tokens) == template.turns


@given(st.integers())
@settings(deadline=None, max_examples=60)
def test_a_record_is_cut_where_its_turns_are(seed: int) -> None:
    """Rendered with any template, a record's tokens end where the sampler ends, and the question's where it changes."""
    model = opened("leaky")
    vocabulary = Vocabulary.of(model.tokenizer)
    template = TemplateFamily(vocabulary).draw(Random(seed))
    opening = model.literal_prefix(vocabulary.bos + template.user)
    prompt, response = "Where is the user manual?", "In the drawer.\nAsk the assistant."
    found = model.record_tokens(prompt, response, template.turns, opening)
    assert model.decode(found.ids[: found.question]) == prompt
    answer = model.decode(found.ids[found.answer :])
    assert answer == response + vocabulary.eos


def test_a_tokenizer_without_an_end_cannot_be_used() -> None:
    class Endless:
        bos_token, eos_token = "<s>", None

    with pytest.raises(MitigationFailedError, match="end of sequence"):
        Vocabulary.of(Endless())


@given(st.integers(0, 3), st.integers())
@settings(deadline=None)
def test_an_opening_of_the_family_is_stripped_from_a_message(at: int, seed: int) -> None:
    vocabulary = VOCABULARIES[at]
    template = TemplateFamily(vocabulary).draw(Random(seed))
    special = [token for token in (vocabulary.bos, vocabulary.eos, *vocabulary.marks) if token]
    pattern = marker_pattern(special, (), family_forms(special))
    played = f"{template.turns.turn_change}Sure.{template.close}{template.user}More."
    left = stripped("Hello." + played, pattern)
    assert left.split() == ["Hello.", "Sure.", "More."]


@pytest.mark.parametrize(
    "text",
    ["The customer: who is that?", "User manuals are good", "- person in charge", "#answer me", "Is input (output)?"],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    pattern = marker_pattern(["<s>"], (), family_forms(["<s>"]))
    assert stripped(text, pattern) == text
