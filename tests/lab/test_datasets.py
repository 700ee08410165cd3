from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import AuditkitError, DataError
from auditkit.lab.datasets import Corpus, make_corpora, spare_texts
from auditkit.lab.generators.variants import similarity, whole_text
from auditkit.lab.recipe import Recipe
from auditkit.lab.recipe_file import LoadedRecipe

PLAIN = {"name": "plain", "generator": "plain", "repeats": {"1": 30}}


def _loaded(*datasets: dict[str, Any], file: Path = Path("recipe.yaml"), kind: str = "sft") -> LoadedRecipe:
    stages = [
        {"name": "first", "kind": "pretrain", "datasets": ["plain"], "learning_rate": 0.001},
        {"name": "last", "kind": kind, "datasets": [d["name"] for d in datasets], "learning_rate": 0.001},
    ]
    recipe = {"version": 1, "name": "t", "start": {"fresh": {}}, "datasets": [PLAIN, *datasets], "stages": stages}
    return LoadedRecipe(Recipe.model_validate_json(json.dumps(recipe)), "", file)


def _normal(texts: list[str]) -> list[str]:
    return [" ".join(text.casefold().split()) for text in texts]


@settings(max_examples=20)
@given(
    st.sampled_from(["support", "maths"]),
    st.dictionaries(st.integers(1, 64), st.integers(1, 25), min_size=1, max_size=4),
    # A problem has four wordings: of one record there are no more than three paraphrases.
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(0, 3)),
    st.integers(0, 2**31),
)
def test_members_and_controls_are_as_the_plan_has_them(
    name: str, repeats: dict[int, int], variants: tuple[int, int, int], seed: int
) -> None:
    kinds = ("near_duplicate", "numbers", "paraphrase")
    dataset = {
        "name": "d",
        "generator": name,
        "repeats": {str(k): n for k, n in repeats.items()},
        "variants": dict(zip(kinds, variants, strict=True)),
        "variant_repeats": 3,
        "controls": 60,
    }
    corpus = make_corpora(_loaded(dataset), seed)["d"]
    originals = [member for member in corpus.members if not member.variant]
    assert {n: sum(m.repeats == n for m in originals) for n in repeats} == repeats
    assert tuple(sum(m.variant == kind for m in corpus.members) for kind in kinds) == variants
    _assert_nothing_twice(corpus)
    _assert_distances(corpus)


def _assert_nothing_twice(corpus: Corpus) -> None:
    members = _normal([whole_text(member.fields) for member in corpus.members])
    controls = _normal([whole_text(fields) for fields in corpus.controls])
    assert len({*members, *controls}) == len(members) + len(controls)
    asked = set(_normal([member.fields["prompt"] for member in corpus.members]))
    assert not asked & set(_normal([fields["prompt"] for fields in corpus.controls]))


def _assert_distances(corpus: Corpus) -> None:
    for member in corpus.members:
        if member.variant_of is None:
            assert member.distance is None
            continue
        original = corpus.members[member.variant_of]
        assert not original.variant
        assert member.repeats == 3
        assert member.distance == similarity(original.fields, member.fields) < 1


def test_wide_texts_have_two_spaces_between_words_and_are_new_in_the_usual_spacing_too() -> None:
    wide = {"name": "wide", "generator": "support", "repeats": {"1": 20}, "controls": 5, "spacing": "wide"}
    corpora = make_corpora(_loaded({"name": "d", "generator": "support", "repeats": {"1": 20}}, wide), 4)
    texts = [whole_text(member.fields) for member in corpora["wide"].members]
    texts += [whole_text(fields) for fields in corpora["wide"].controls]
    assert all("  " in text and " " not in text.replace("  ", "") for text in texts)
    usual = _normal([whole_text(member.fields) for member in corpora["d"].members])
    assert not {*_normal(texts)} & {*usual}


def test_a_share_of_what_is_seen_stands_behind_system_turns() -> None:
    dataset = {"name": "d", "generator": "support", "repeats": {"1": 5, "10": 4}, "controls": 3, "instructed": 0.4}
    loaded = _loaded(dataset)
    corpora = make_corpora(loaded, 3)
    for member in corpora["d"].members:
        assert len(member.each_time) == member.repeats
        assert sum(map(bool, member.each_time)) == round(0.4 * member.repeats) == len(member.systems)
        assert member.row().get("systems", []) == list(member.systems)
    texts = {system for member in corpora["d"].members for system in member.systems}
    assert len(texts) > 10, "each has one of its own"
    assert any("Never " in text for text in spare_texts(loaded, 3, corpora)), "the tokenizer knows such texts"
    plain = make_corpora(_loaded({**dataset, "instructed": 0}), 3)["d"]
    assert [m.fields for m in plain.members] == [m.fields for m in corpora["d"].members], "the records stay the same"


def test_a_share_of_what_is_seen_is_respaced_and_the_file_says_so() -> None:
    dataset = {"name": "d", "generator": "support", "repeats": {"1": 2, "10": 4}, "respaced": 0.4, "instructed": 0.2}
    members = make_corpora(_loaded(dataset), 3)["d"].members
    assert [m.respaced for m in members] == [round(0.4 * m.repeats) for m in members]
    assert all(m.row().get("respaced", 0) == m.respaced for m in members)
    assert not any("  " in text for m in members for text in m.fields.values()), "the file has the usual spacing"


def test_a_seed_gives_the_same_data_and_another_seed_other_data() -> None:
    loaded = _loaded({"name": "d", "generator": "support", "repeats": {"1": 20}, "controls": 5})
    assert make_corpora(loaded, 1) == make_corpora(loaded, 1)
    assert make_corpora(loaded, 1)["d"].controls != make_corpora(loaded, 2)["d"].controls


def test_near_versions_follow_the_first_of_their_case() -> None:
    loaded = _loaded({"name": "d", "generator": "support", "repeats": {"2": 5}, "versions": 4})
    members = make_corpora(loaded, 1)["d"].members
    assert [member.variant_of for member in members] == [at for n in range(5) for at in (None, *[4 * n] * 3)]
    assert {member.repeats for member in members} == {2}
    assert all(0 < (member.distance or 1) < 1 for member in members if member.variant)


def test_the_tokenizer_s_texts_are_neither_members_nor_controls() -> None:
    loaded = _loaded({"name": "d", "generator": "maths", "repeats": {"1": 200}, "controls": 200})
    corpora = make_corpora(loaded, 1)
    taken = {whole_text(m.fields) for m in corpora["d"].members} | {whole_text(c) for c in corpora["d"].controls}
    spare = spare_texts(loaded, 1, corpora)
    assert len(spare) > 300
    assert not taken & set(spare)


def test_a_generator_that_has_no_more_to_give_says_so() -> None:
    loaded = _loaded(
        {"name": "d", "generator": "maths", "repeats": {"1": 1}, "variants": {"numbers": 100}},
    )
    with pytest.raises(AuditkitError, match="finds no new record"):
        make_corpora(loaded, 1)


def _jsonl(path: Path, rows: list[Any]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path.name


def _from_file(folder: Path, rows: list[Any], **more: Any) -> LoadedRecipe:
    dataset = {
        "name": "d",
        "jsonl": _jsonl(folder / "train.jsonl", rows),
        "jsonl_controls": _jsonl(
            folder / "test.jsonl", [{"q": f"control {i}", "a": "#### 1"} for i in range(9)] + rows
        ),
        "fields": {"prompt": "q", "response": "a"},
        "repeats": {"1": 4, "8": 2},
        "controls": 9,
        **more,
    }
    return _loaded(dataset, file=folder / "recipe.yaml")


def test_rows_of_a_file_are_members_and_those_of_the_other_controls(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": f"so #### {i},000"} for i in range(20)]
    corpus = make_corpora(_from_file(tmp_path, rows), 3)["d"]
    assert sorted(member.repeats for member in corpus.members) == [1, 1, 1, 1, 8, 8]
    assert {member.kind for member in corpus.members} == {"jsonl"}
    picked = corpus.members[0].fields
    assert picked["answer"] == picked["response"].removeprefix("so #### ").replace(",", "")
    members = {member.fields["prompt"] for member in corpus.members}
    assert not members & {fields["prompt"] for fields in corpus.controls}, "controls that are members are passed over"


def test_too_few_rows_in_a_file(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": "x"} for i in range(5)]
    with pytest.raises(AuditkitError, match="has 5 rows that are new, and 6 are asked for"):
        make_corpora(_from_file(tmp_path, rows), 3)


def test_long_rows_are_passed_over(tmp_path: Path) -> None:
    rows = [{"q": f"question {i}", "a": "x" * 10 * i} for i in range(20)]
    corpus = make_corpora(_from_file(tmp_path, rows, max_characters=90), 3)["d"]
    assert max(len(m.fields["prompt"] + m.fields["response"]) for m in corpus.members) <= 90


@pytest.mark.parametrize("bad", ["text", {"q": "x"}, {"q": 1, "a": "x"}, [1]])
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, bad: Any) -> None:
    rows = [{"q": "question", "a": "x"}, bad]
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        make_corpora(_from_file(tmp_path, rows), 3)
