"""Rules, and ways in which known members were altered, as a reader of page one knows them."""

from __future__ import annotations

from auditkit.report.definitions import title

# The names are the policy's and the code's: scoring/positive_controls.py makes these.
_ALTERED = {
    "verbatim": "copied to the letter",
    "numbers_changed": "copied with other numbers",
    "words_replaced": "copied with every twentieth word replaced",
    "cut_90": "cut to the first 90 % of their length",
    "characters_edited": "copied with every twentieth character mistyped",
    "prompt_alone": "reduced to their prompts",
}


def target_words(metric: str, attack: str, dataset: str, view: str) -> str:
    """What a rule, or a waiver of one, puts a limit on; "*" stands for all of a kind."""
    which = "both views" if view == "*" else f"{view} view"
    of, on = ("every attack" if attack == "*" else attack), ("every dataset" if dataset == "*" else dataset)
    return f"{title(metric)} of {of} on {on} ({which})"


def altered_words(variant: str) -> str:
    """How the members were altered that are looked for, to complete "of members ..."."""
    return _ALTERED.get(variant, f"altered ({variant.replace('_', ' ')})")
