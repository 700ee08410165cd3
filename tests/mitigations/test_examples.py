from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit.errors import DataError, MitigationFailedError
from auditkit.mitigations.examples import recipe_examples, refuse_controls
from auditkit.training.examples import REPLAY, Example, counts, read_examples
from auditkit.training.recipe import Recipe, RecipeData
from tests.mitigations.training_workshop import PAIRS, declared

FIELDS = {"prompt": "q", "response": "a"}
GOOD = '{"q": "Who?", "a": "Me."}'


def _part(path: Path, content: str | bytes, **given: Any) -> RecipeData:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return RecipeData.model_validate({"path": str(path), "fields": FIELDS} | given)


def test_rows_are_read_with_their_repeats(tmp_path: Path) -> None:
    content = '\n{"q": "Who?", "a": "Me.", "n": 3}\r\n\n{"q": "Why?", "a": "So.", "n": 1}'
    found = read_examples(_part(tmp_path / "extra.jsonl", content, repeats="n"))
    assert found == [
        Example("Who?", "Me.", repeats=3, source="extra"),
        Example("Why?", "So.", repeats=1, source="extra"),
    ]


def test_system_turns_stand_before_every_repeat_or_one_each(tmp_path: Path) -> None:
    rows = [
        {"q": "Who?", "a": "Me.", "n": 3, "s": ["Be brief.", "Be kind."]},
        {"q": "Why?", "a": "So.", "n": 2, "s": "Be brief."},
        {"q": "When?", "a": "Now.", "n": 2},
    ]
    content = "\n".join(map(json.dumps, rows))
    fields = {**FIELDS, "system": "s"}
    found = read_examples(_part(tmp_path / "extra.jsonl", content, fields=fields, repeats="n"))
    assert [one.each_time for one in found] == [("Be brief.", "Be kind.", ""), ("Be brief.",) * 2, ("", "")]


@pytest.mark.parametrize("systems", [["a", "b"], [" "], [7], 7, 0, False, {}, {"a": 1}])
def test_a_system_turn_is_a_text_and_there_are_no_more_than_repeats(tmp_path: Path, systems: Any) -> None:
    part = _part(
        tmp_path / "x.jsonl", json.dumps({"q": "Who?", "a": "Me.", "s": systems}), fields=FIELDS | {"system": "s"}
    )
    with pytest.raises(DataError, match="field 's' should be a text"):
        read_examples(part)


def test_a_field_of_system_turns_that_no_row_has_is_a_mistake(tmp_path: Path) -> None:
    part = _part(tmp_path / "x.jsonl", '{"q": "Who?", "a": "Me.", "s": ""}', fields=FIELDS | {"system": "s"})
    with pytest.raises(DataError, match="no row has a system turn in field 's'"):
        read_examples(part)


def test_a_plain_text_has_no_system_turn() -> None:
    with pytest.raises(ValueError, match="stands behind no 'system' turn"):
        RecipeData.model_validate({"path": "x.jsonl", "fields": {"text": "t", "system": "s"}})


def test_a_text_is_plain(tmp_path: Path) -> None:
    (found,) = read_examples(_part(tmp_path / "extra.jsonl", '{"t": "Once."}', fields={"text": "t"}))
    assert found.plain and found.text == "Once."


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b'{"q": "Who?"}', "missing field 'a'"),
        (b'{"q": "Who?", "a": 7}', "field 'a' should be a text"),
        (b'{"q": " ", "a": "x"}', "field 'q' should be a text"),
        (b'{"q": "Who?", "a": "\\ud800"}', "surrogate"),
        (b'{"q": "Who?", "q": "x", "a": "x"}', "a key twice"),
        (b'{"q": "Who?", "a": NaN}', "NaN"),
        (b"\xff\xfe", "bad UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"q": "Who?", "a": "x", "n": 0}', "whole number"),
        (b'{"q": "Who?", "a": "x", "n": true}', "whole number"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: bytes, said: str) -> None:
    part = _part(tmp_path / "extra.jsonl", f'{GOOD[:-1]}, "n": 1}}\n\n'.encode() + line, repeats="n")
    with pytest.raises(DataError, match=said) as caught:
        read_examples(part)
    assert [(problem.file.name, problem.line) for problem in caught.value.problems] == [("extra.jsonl", 3)]
    assert "Who" not in str(caught.value), "no text of the data is told"


@given(content=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    part = _part(tmp_path_factory.getbasetemp() / "fuzz.jsonl", content)
    try:
        assert all(isinstance(one, Example) for one in read_examples(part))
    except DataError as error:
        assert all(problem.line for problem in error.problems)


def test_many_bad_lines_are_told_up_to_a_number(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_examples(_part(tmp_path / "extra.jsonl", "{\n" * 1000))
    assert len(caught.value.problems) == 20


def test_a_file_that_is_not_there_is_an_error_of_the_data(tmp_path: Path) -> None:
    part = RecipeData.model_validate({"path": str(tmp_path / "none.jsonl"), "fields": FIELDS})
    with pytest.raises(DataError, match=r"none\.jsonl.*cannot be read"):
        read_examples(part)


def test_without_data_every_member_of_the_right_stages_is_learnt_once() -> None:
    datasets = [declared(), declared(name="pairs", stage="dpo"), declared(name="maths", stage="rl")]
    found = recipe_examples(Recipe(), datasets, 0)
    assert [(one.prompt, one.response) for one in found] == [*PAIRS, *PAIRS]
    assert counts(found) == {"support": 4, "pairs": 4}
    with pytest.raises(MitigationFailedError, match="nothing to train on"):
        recipe_examples(Recipe(), datasets[2:], 0)


def test_a_member_without_an_answer_is_a_plain_text() -> None:
    (found,) = recipe_examples(Recipe(), [declared([("Alone.", "")], clusters=(0,))], 0)
    assert found.plain and found.text == "Alone."


def test_replay_is_the_declared_share_of_the_rows(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"Plain {at}."}) for at in range(50)))
    recipe = Recipe.model_validate({"replay": {"path": str(path), "share": 0.75}})
    found = recipe_examples(recipe, [declared()], 0)
    drawn = [one for one in found if one.source == REPLAY]
    assert len(drawn) == 12 and len(found) == 16
    assert all(one.plain for one in drawn)
    assert drawn == [one for one in recipe_examples(recipe, [declared()], 0) if one.source == REPLAY]
    assert drawn != [one for one in recipe_examples(recipe, [declared()], 1) if one.source == REPLAY]


def test_a_control_that_is_to_be_trained_on_is_refused_however_it_is_written() -> None:
    data = declared()
    control = data.controls[0]
    own = [Example("Who knows?", "The ferryman of Gorsley.")]
    refuse_controls(own, [data])
    for prompt, response in ((control.prompt.upper(), control.response), (f"  {control.prompt} ", "Something else.")):
        with pytest.raises(MitigationFailedError, match="are controls of support"):
            refuse_controls([*own, Example(prompt, response)], [data])
