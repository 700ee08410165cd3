"""Names of the policy and the code as a reader of page one knows them."""

from __future__ import annotations

from auditkit.report.rule_words import altered_words, target_words
from auditkit.scoring.positive_controls import INFORMATIONAL_VARIANTS, REQUIRED_VARIANTS


def test_every_alteration_that_is_made_has_words() -> None:
    for variant in (*REQUIRED_VARIANTS, *INFORMATIONAL_VARIANTS):
        assert "_" not in altered_words(variant) and variant not in altered_words(variant)
    assert altered_words("shuffled_turns") == "altered (shuffled turns)"


def test_what_a_rule_is_of_is_said_in_words() -> None:
    assert target_words("adjusted_coverage", "template_prefix", "sft", "record") == (
        "adjusted coverage of template_prefix on sft (record view)"
    )
    assert target_words("coverage", "*", "*", "*") == "coverage of every attack on every dataset (both views)"
