from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from auditkit.mitigations.deduplication import deduplicated
from auditkit.training.examples import REPLAY, Example
from tests.mitigations.training_workshop import PAIRS, declared, mitigation, save_base, value, workshop

WORD = st.sampled_from(["Who", "who", "knows", "Knows?", "geese", "7"])
TEXT = st.lists(WORD, min_size=1, max_size=3).map(" ".join)
EXAMPLES = st.lists(
    st.builds(Example, TEXT, TEXT, repeats=st.integers(1, 5), cluster=st.none() | st.just(("d", 1)) | st.just(("d", 2)))
)


@given(examples=EXAMPLES)
def test_one_of_each_group_is_left_and_seen_once(examples: list[Example]) -> None:
    kept = deduplicated(examples, [])
    clusters = [one.cluster for one in kept if one.cluster]
    texts = [one.text.casefold().replace("?", "") for one in kept if not one.cluster]
    assert len(set(clusters)) == len(clusters) == len({one.cluster for one in examples if one.cluster})
    assert len(set(texts)) == len(texts)
    assert all(one.repeats == 1 for one in kept)
    assert deduplicated(kept, []) == kept


def test_the_policy_s_clusters_say_what_nearly_repeats_itself(tmp_path: Path) -> None:
    made = mitigation("deduplication").make(workshop(tmp_path, save_base(tmp_path / "base")))
    assert value(made.facts, "rows before deduplication") == 4
    assert value(made.facts, "rows kept") == value(made.facts, "rows") == 3


def test_undeclared_data_is_held_against_the_members_and_itself(tmp_path: Path) -> None:
    rows = [*PAIRS, ("COUNT the geese!", "7, 4, 1, 9"), ("Something", "else"), ("something", "Else.")]
    data = tmp_path / "extra.jsonl"
    data.write_text("\n".join(json.dumps({"q": q, "a": a, "n": 3}) for q, a in rows))
    given_data = [{"path": str(data), "fields": {"prompt": "q", "response": "a"}, "repeats": "n"}]
    arm = mitigation("deduplication", recipe={"data": given_data})
    kept, facts = arm.examples(workshop(tmp_path, save_base(tmp_path / "base")))
    assert [one.prompt for one in kept] == ["What is amber?", "Who knows?", "Count the geese", "Something"]
    assert value(facts, "rows before deduplication") == 21


def test_replayed_text_stays_as_it_was_drawn() -> None:
    replayed = [Example("", "Once.", plain=True, source=REPLAY)] * 3
    assert deduplicated([*replayed, Example("a", "b")], [declared()])[1:] == replayed
