from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from auditkit.errors import DataError, MitigationFailedError
from auditkit.mitigations.base import Workshop
from auditkit.mitigations.retraining import TrainingMitigation
from auditkit.registry import plugin_class
from tests.mitigations.training_workshop import PAIRS, declared, mitigation, save_base, value, weights, workshop
from tests.models.tiny import backend, reopened


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture
def shop(tmp_path: Path, base: Path) -> Workshop:
    return workshop(tmp_path, base)


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_base_learns_the_data_and_is_saved_with_a_card(shop: Workshop) -> None:
    made = mitigation("prompt_loss_mask").make(shop)
    assert value(made.facts, "loss after") < value(made.facts, "loss before") - 1
    assert value(made.facts, "rows") == 4 and value(made.facts, "steps") == 12
    assert _files(shop.folder) == ["weights"], "nothing is left of the way there"
    card = (shop.folder / "weights" / "README.md").read_text()
    assert "`support`: 4 records" in card and "learning_rate: 0.01" in card
    assert not any(text in card for pair in PAIRS for text in pair)
    opened = reopened(made.backend.path)
    assert opened.turn_format() is not None


def test_only_one_s_own_rights_and_no_place_of_this_machine(tmp_path: Path, base: Path, shop: Workshop) -> None:
    data = tmp_path / "extra.jsonl"
    data.write_text("\n".join(json.dumps({"q": q, "a": a, "n": 2}) for q, a in PAIRS))
    given = [{"path": "extra.jsonl", "fields": {"prompt": "q", "response": "a"}, "repeats": "n"}]
    arm = mitigation("prompt_loss_mask", recipe={"data": given, "epochs": 3}).resolved(tmp_path)
    made = arm.make(shop)
    assert value(made.facts, "rows") == 8
    paths = list(shop.folder.rglob("*"))
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600, 0o700}
    texts = [path.read_text() for path in (shop.folder / "weights").glob("*.md")]
    assert str(tmp_path) not in "".join(texts) and "extra.jsonl" in texts[0]


def test_finished_weights_are_not_trained_again(shop: Workshop) -> None:
    arm = mitigation("prompt_loss_mask")
    made = arm.make(shop)
    told: list[str] = []
    again = arm.make(workshop(shop.folder.parent, shop.folder, tell=lambda what, *_: told.append(what)))
    assert told == [] and again.facts == made.facts


class PowerCutError(Exception):
    pass


def _cut(what: str, done: int, _total: int) -> None:
    if what == "training" and done == 37:
        raise PowerCutError


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["goldfish_loss", "lora"])
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path: Path, base: Path, kind: str) -> None:
    arm = mitigation(kind, recipe={"epochs": 20})
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    arm.make(workshop(tmp_path / "undisturbed", base))
    with pytest.raises(PowerCutError):
        arm.make(workshop(tmp_path / "killed", base, tell=_cut))
    seen: list[int] = []
    made = arm.make(workshop(tmp_path / "killed", base, tell=lambda what, done, _: seen.append(done)))
    assert 26 in seen and 25 not in seen, "on from the checkpoint of step 25"
    assert weights(tmp_path / "undisturbed/arm/weights") == weights(tmp_path / "killed/arm/weights")
    assert value(made.facts, "steps") == 40


@pytest.mark.parametrize("rate", [10.0, 1e-30])
def test_a_training_that_diverges_or_teaches_nothing_is_a_failed_arm(shop: Workshop, rate: float) -> None:
    arm = mitigation("prompt_loss_mask", recipe={"learning_rate": rate, "warmup": 0.0, "epochs": 4})
    with pytest.raises(MitigationFailedError, match=r"the training (diverged|taught nothing)[^\n]*nats a token"):
        arm.make(shop)
    assert _files(shop.folder) == []


def test_a_record_that_does_not_fit_the_model_fails_the_arm_unless_it_is_to_be_cut(shop: Workshop, base: Path) -> None:
    long = [*PAIRS, ("Count the geese", "7 " * 200)]
    shop = workshop(shop.folder.parent, base, datasets=[declared(long, clusters=(0, 1, 1, 2, 3))])
    with pytest.raises(MitigationFailedError, match="1 of 5 training rows are longer"):
        mitigation("prompt_loss_mask").make(shop)
    made = mitigation("prompt_loss_mask", recipe={"max_tokens": 64, "epochs": 3}).make(shop)
    assert value(made.facts, "rows cut") == 1


def test_without_base_or_data_the_arm_fails_with_what_to_do(tmp_path: Path, base: Path) -> None:
    arm = mitigation("prompt_loss_mask")
    with pytest.raises(MitigationFailedError, match=r"no base model to retrain\n.*start: candidate"):
        arm.make(workshop(tmp_path, base, base=None))
    with pytest.raises(MitigationFailedError, match="nothing to train on"):
        arm.make(workshop(tmp_path, base, datasets=[]))


def test_what_is_wrong_with_a_file_stays_an_error_of_the_data(tmp_path: Path, shop: Workshop) -> None:
    (tmp_path / "bad.jsonl").write_text("{")
    given = [{"path": str(tmp_path / "bad.jsonl"), "fields": {"text": "t"}}]
    with pytest.raises(DataError, match=r"bad\.jsonl:1"):
        mitigation("prompt_loss_mask", recipe={"data": given}).make(shop)


def test_the_base_takes_the_candidate_s_template_over(tmp_path: Path, base: Path) -> None:
    opened = reopened(base)
    opened.tokenizer.chat_template = None
    bare = tmp_path / "bare"
    opened.model.save_pretrained(bare)
    opened.tokenizer.save_pretrained(bare)
    made = mitigation("prompt_loss_mask").make(workshop(tmp_path, base, base=backend(bare)))
    assert reopened(made.backend.path).turn_format() == reopened(base).turn_format()


def test_start_candidate_needs_no_base(tmp_path: Path, base: Path) -> None:
    made = mitigation("prompt_loss_mask", recipe={"start": "candidate"}).make(workshop(tmp_path, base, base=None))
    assert value(made.facts, "loss after") < value(made.facts, "loss before")


def test_weights_of_an_earlier_run_are_audited_as_they_are(tmp_path: Path, base: Path, shop: Workshop) -> None:
    first = mitigation("prompt_loss_mask").make(shop)
    (tmp_path / "later").mkdir()
    later = workshop(tmp_path / "later", base, open_for_training=None)
    again = mitigation("prompt_loss_mask", weights="arm/weights").resolved(tmp_path).make(later)
    assert again.backend == first.backend and again.facts == first.facts
    with pytest.raises(MitigationFailedError, match="made with kind prompt_loss_mask, and the policy says lora"):
        mitigation("lora", weights=str(tmp_path / "arm" / "weights")).make(later)
    with pytest.raises(MitigationFailedError, match=r"no mitigation\.json"):
        mitigation("lora", weights=str(base)).make(later)


def test_weights_of_an_earlier_run_have_to_be_what_the_policy_says(tmp_path: Path, base: Path, shop: Workshop) -> None:
    made = mitigation("goldfish_loss", k=4).make(shop)
    weights = str(made.backend.path)
    (tmp_path / "later").mkdir()
    later = workshop(tmp_path / "later", base, open_for_training=None)
    assert mitigation("goldfish_loss", k=4, weights=weights, adaptive_samples=9).make(later).facts == made.facts
    with pytest.raises(MitigationFailedError, match="made with k 4, and the policy says 3"):
        mitigation("goldfish_loss", k=3, weights=weights).make(later)
    with pytest.raises(MitigationFailedError, match=r"made with recipe\.epochs \d+, and the policy says 77"):
        mitigation("goldfish_loss", weights=weights, recipe={"epochs": 77}).make(later)
    other = workshop(tmp_path / "later", base, open_for_training=None, base=made.backend)
    with pytest.raises(MitigationFailedError, match="made with a starting model of sha256"):
        mitigation("goldfish_loss", weights=weights).make(other)
    unknown = workshop(tmp_path / "later", base, open_for_training=None, base=None)
    facts = mitigation("goldfish_loss", weights=weights).make(unknown).facts
    assert [fact.name for fact in facts if "not checked" in fact.note] == ["made from"]


def test_weights_that_never_saw_the_declared_records_are_refused(tmp_path: Path, base: Path, shop: Workshop) -> None:
    """They would give nothing away, and prove nothing."""
    made = mitigation("goldfish_loss").make(shop)
    assert [fact.value for fact in made.facts if fact.name == "members trained on"] == [len(PAIRS)]
    (tmp_path / "later").mkdir()
    others = declared([("Who guards the ford?", "Nobody since the flood.")])
    later = workshop(tmp_path / "later", base, open_for_training=None, datasets=[others])
    with pytest.raises(MitigationFailedError, match="made when the policy declared other records"):
        mitigation("goldfish_loss", weights=str(made.backend.path)).make(later)


def test_a_policy_that_says_nothing_of_the_recipe_takes_the_weights_as_they_were_made(
    tmp_path: Path, base: Path, shop: Workshop
) -> None:
    """Loading a policy resolves paths, which says nothing of a recipe that it does not give."""
    made = mitigation("goldfish_loss", recipe={"epochs": 7, "learning_rate": 1e-2}).make(shop)
    (tmp_path / "later").mkdir()
    later = workshop(tmp_path / "later", base, open_for_training=None)
    cls = plugin_class("mitigations", "goldfish_loss")
    said: Any = cls.model_validate({"kind": "goldfish_loss", "name": "gold", "weights": str(made.backend.path)})
    resolved = said.resolved(tmp_path)
    assert resolved.make(later).facts == made.facts
    assert "recipe" not in resolved.declared and "k" in resolved.declared


@pytest.mark.parametrize("parameters", ['{"recipe": "abc"}', '{"k": "four"}', "[]", '{"recipe": {"epochs": 0}}'])
def test_a_damaged_record_of_weights_fails_the_arm(tmp_path: Path, base: Path, shop: Workshop, parameters: str) -> None:
    made = mitigation("goldfish_loss").make(shop)
    record = Path(made.backend.path) / "mitigation.json"
    given = json.loads(record.read_text())
    record.write_text(json.dumps({**given, "parameters": json.loads(parameters)}))
    with pytest.raises(MitigationFailedError):
        mitigation("goldfish_loss", weights=str(made.backend.path)).make(shop)


def test_each_epoch_has_rows_and_chance_of_its_own(shop: Workshop) -> None:
    calls: list[tuple[int, float]] = []

    class Noting(TrainingMitigation):
        summary = "Notes."
        kind: str = "noting"

        def rows(self, tokenizer: Any, examples: Any, epoch: int, rng: Any) -> Any:
            calls.append((epoch, rng.random()))
            return super().rows(tokenizer, examples, epoch, rng)

    recipe = {"epochs": 3, "learning_rate": 1e-2, "batch_size": 2}
    Noting.model_validate({"recipe": recipe}).make(shop)
    assert [epoch for epoch, _ in calls] == [0, 1, 2]
    assert len({chance for _, chance in calls}) == 3
