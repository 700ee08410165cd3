"""Tasks of lm-evaluation-harness, asked of real small models; the harness' own way of asking is the reference."""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auditkit.auditing.lm_evaluation import LmScores, check_lm_eval, lm_eval_estimates, lm_eval_gains, lm_eval_scores
from auditkit.auditing.lm_harness import harness_model
from auditkit.errors import AuditkitError, MissingExtraError, ModelError
from auditkit.mitigations.served import ServedModel
from auditkit.models.base import Ids, LanguageModel
from auditkit.policy.schema import LmEval
from auditkit.records import Prefix, Sampler
from tests.models.tiny import RECORDS, conversation, reciting_model, reopened, save

pytest.importorskip("lm_eval")

TASKS = Path(__file__).parent / "lm_tasks"
LEAKY = Path(__file__).parents[2] / "examples" / "quickstart" / "models" / "leaky"
QUESTIONS = [json.loads(line) for line in (TASKS / "household.jsonl").read_text().splitlines()]


def _section(*tasks: str, **changes: Any) -> LmEval:
    return LmEval.model_validate({"tasks": list(tasks), "include": str(TASKS), **changes})


@pytest.fixture(scope="module")
def leaky() -> Iterator[LanguageModel]:
    with reopened(LEAKY) as model:
        yield model


@pytest.fixture(scope="module")
def reciting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageModel]:
    with reopened(save(tmp_path_factory.mktemp("reciting"), *reciting_model())) as model:
        yield model


@pytest.fixture
def task_file(tmp_path: Path) -> Callable[..., LmEval]:
    """Writes a task of two questions and the section that names it."""

    def write(rows: Sequence[dict[str, Any]] = QUESTIONS[:2], **changes: Any) -> LmEval:
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": "own",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": "rows.jsonl"},
            "test_split": "train",
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{answer}}",
            **changes,
        }
        (tmp_path / "own.yaml").write_text(json.dumps(task))
        return _section("own", include=str(tmp_path))

    return write


def test_the_harness_is_imported_only_when_asked() -> None:
    program = "import sys, auditkit.auditing.lm_evaluation; print('lm_eval' in sys.modules, 'datasets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_without_the_harness_the_extra_is_named(leaky: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval.evaluator", None)
    with pytest.raises(MissingExtraError, match=r"auditkit\[lm-eval\]"):
        lm_eval_scores(leaky, _section("household_choice"), 0)


def _right(model: LanguageModel, row: dict[str, Any]) -> float:
    """Whether the right answer has the highest ln p a character, read off the model itself."""
    asked, scores = model.encode(row["question"]), []
    for choice in row["choices"]:
        whole = model.encode(f"{row['question']} {choice}")
        assert whole[: len(asked)] == asked
        (reading,) = model.read([whole], model.bos_prefix())
        scores.append(reading.logprobs[len(asked) :].sum() / len(choice))
    return float(int(np.argmax(scores)) == row["answer"])


def test_multiple_choice_is_what_the_model_itself_says(leaky: LanguageModel) -> None:
    (scores,) = lm_eval_scores(leaky, _section("household_choice"), 3)
    assert scores.scores == [_right(leaky, row) for row in QUESTIONS]
    assert 0 < sum(scores.scores) < len(QUESTIONS)
    (estimate,) = lm_eval_estimates([scores], 3)
    assert (estimate.metric, estimate.dataset, estimate.attack) == ("lm_eval:household_choice", "", "")
    assert estimate.value == sum(scores.scores) / 12
    assert estimate.numerator == sum(scores.scores)
    assert estimate.denominator == 12
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 < estimate.low < estimate.value < estimate.high < 1
    assert "acc_norm" in estimate.method


def test_the_same_seed_asks_the_same_questions(leaky: LanguageModel) -> None:
    asked = [lm_eval_scores(leaky, _section("household_choice", limit=5), seed)[0] for seed in (1, 1, 2)]
    assert asked[0] == asked[1]
    assert asked[0].count == 5
    assert asked[2].questions != asked[0].questions
    assert LmScores(**json.loads(json.dumps(asdict(asked[0]), allow_nan=False))) == asked[0]


def test_generations_are_cut_and_compared(reciting: LanguageModel) -> None:
    (scores,) = lm_eval_scores(reciting, _section("household_recital"), 0)
    assert (scores.metric, scores.scores) == ("exact_match", [1.0, 1.0, 1.0, 1.0, 0.0])


class Refusing(ServedModel):
    """Withholds every answer, and keeps what it was asked."""

    def __init__(self, inner: LanguageModel) -> None:
        super().__init__(inner)
        self.asked_for: list[Prefix] = []

    def opening(self) -> Prefix:
        return self.inner.literal_prefix("<|im_start|>system\nRefuse.<|im_end|>\n<|im_start|>user\n")

    def complete(self, prefixes: Sequence[Prefix], sampler: Sampler, seed: int) -> list[Ids]:
        self.asked_for += prefixes
        return [self.encode("No")] * len(prefixes)


def test_what_serves_the_model_is_what_is_measured(reciting: LanguageModel) -> None:
    section = _section("household_recital")
    (before,) = lm_eval_scores(reciting, section, 0)
    (after,) = lm_eval_scores(Refusing(reciting), section, 0)
    assert list(lm_eval_gains(before, after)) == [-1, -1, -1, -1, 0]
    assert list(lm_eval_gains(after, before)) == [1, 1, 1, 1, 0]


def test_a_chat_is_asked_behind_the_servers_own_opening(reciting: LanguageModel) -> None:
    served = Refusing(reciting)
    (scores,) = lm_eval_scores(served, _section("household_recital"), 0, chat=True)
    assert scores.count == len(served.asked_for) == 5
    assert all(prefix.text.startswith(served.opening().text) for prefix in served.asked_for)
    assert all(prefix.text.endswith("<|im_end|>\n<|im_start|>assistant\n") for prefix in served.asked_for)


def test_a_perplexity_is_of_all_questions_together(leaky: LanguageModel) -> None:
    (scores,) = lm_eval_scores(leaky, _section("household_reading"), 0)
    texts = [row["question"] for row in QUESTIONS]
    nats = -leaky.sequence_logprobs(texts, leaky.bos_prefix()).sum()
    expected = math.exp(nats / sum(len(text.split()) for text in texts))
    assert scores.whole[0] == pytest.approx(expected, rel=1e-4)
    assert scores.whole[1] < scores.whole[0] < scores.whole[2]
    assert not scores.higher_is_better
    (estimate,) = lm_eval_estimates([scores], 0)
    assert (estimate.value, estimate.low, estimate.high) == tuple(scores.whole)
    with pytest.raises(ValueError, match="no scores by question"):
        lm_eval_gains(scores, scores)


def test_a_group_pools_the_questions_of_its_tasks(leaky: LanguageModel) -> None:
    both, choice, recital = lm_eval_scores(
        leaky, _section("household_both", "household_choice", "household_recital"), 0
    )
    assert both.scores == choice.scores + recital.scores
    assert both.metric == "acc_norm, exact_match"


def test_a_group_with_a_perplexity_is_refused(leaky: LanguageModel, tmp_path: Path) -> None:
    for name in ("household.yaml", "reading.yaml", "household.jsonl"):
        (tmp_path / name).write_bytes((TASKS / name).read_bytes())
    (tmp_path / "mixed.yaml").write_text("group: mixed\ntask: [household_choice, household_reading]\n")
    with pytest.raises(AuditkitError, match="cannot be pooled"):
        lm_eval_scores(leaky, _section("mixed", include=str(tmp_path)), 0)


def test_it_is_silent_and_leaves_nothing_behind(
    leaky: LanguageModel, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets.config
    import huggingface_hub.constants as hub

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", False)
    state, numbers = random.getstate(), np.random.get_state(legacy=False)["state"]["key"]
    lm_eval_scores(leaky, _section("household_choice", "household_reading"), 0)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert not hub.HF_HUB_OFFLINE
    assert random.getstate() == state
    assert np.array_equal(np.random.get_state(legacy=False)["state"]["key"], numbers)


def test_data_that_are_not_here_are_named(leaky: LanguageModel) -> None:
    with pytest.raises(AuditkitError, match="'auditkit-tests/no-such-dataset'") as refused:
        lm_eval_scores(leaky, _section("household_absent"), 0)
    assert "--tasks household_absent" in refused.value.hint


def test_what_is_missing_is_known_without_a_model(task_file: Callable[..., LmEval]) -> None:
    check_lm_eval(task_file())
    with pytest.raises(AuditkitError, match=r"not on this machine.*gone\.jsonl"):
        check_lm_eval(task_file(dataset_kwargs={"data_files": "gone.jsonl"}))


@pytest.mark.slow
def test_a_task_that_nobody_knows_gets_the_nearest_name() -> None:
    with pytest.raises(AuditkitError, match="no task 'arc_eazy'") as refused:
        check_lm_eval(LmEval(tasks=["arc_eazy"]))
    assert "'arc_easy'" in refused.value.hint


def test_task_files_that_cannot_be_run_are_refused(leaky: LanguageModel, task_file: Callable[..., LmEval]) -> None:
    with pytest.raises(AuditkitError, match="no folder of task files"):
        lm_eval_scores(leaky, _section("own", include="nowhere"), 0)
    with pytest.raises(AuditkitError, match=r"cannot be loaded: .*no_such_field"):
        lm_eval_scores(leaky, task_file(doc_to_text="{{no_such_field.at.all}}"), 0)
    with pytest.raises(AuditkitError, match="unsafe"):
        lm_eval_scores(leaky, task_file(unsafe_code=True), 0)
    long = {**QUESTIONS[0], "choices": ["word " * leaky.context, "no", "yes"]}
    with pytest.raises(ModelError, match="fills the model's context"):
        lm_eval_scores(leaky, task_file([long]), 0)


def test_a_long_context_loses_its_oldest_tokens(leaky: LanguageModel, task_file: Callable[..., LmEval]) -> None:
    row = {**QUESTIONS[0], "question": "please " * leaky.context + QUESTIONS[0]["question"]}
    (scores,) = lm_eval_scores(leaky, task_file([row, QUESTIONS[1]]), 0)
    assert scores.count == 2


def _scores(values: list[float]) -> LmScores:
    return LmScores("t", "f1", "digest", len(values), values, [])


def test_intervals_suit_the_scores() -> None:
    right, partly, alone = lm_eval_estimates([_scores([1.0] * 20), _scores([0.25, 0.5, 1.0]), _scores([0.5])], 0)
    assert (right.value, right.high) == (1, 1)
    assert right.low == pytest.approx(0.025 ** (1 / 20))
    assert "Clopper-Pearson" in right.method
    assert partly.low is not None
    assert partly.value is not None
    assert partly.high is not None
    assert partly.value == pytest.approx(7 / 12)
    assert partly.low < partly.value < partly.high
    assert (alone.value, alone.low, alone.high, alone.denominator) == (None, None, None, 1)
    assert "two questions" in alone.reason


def test_gains_need_the_same_questions() -> None:
    one = _scores([1.0, 0.0])
    with pytest.raises(ValueError, match="same questions"):
        lm_eval_gains(one, replace(one, questions="others"))
    lower = [replace(one, scores=scores, higher_is_better=False) for scores in ([3.0, 2.0], [1.0, 2.5])]
    assert list(lm_eval_gains(*lower)) == [2, -0.5]


@pytest.mark.slow
def test_the_harness_own_model_says_the_same(reciting: LanguageModel) -> None:
    instance = import_module("lm_eval.api.instance").Instance
    hflm = import_module("lm_eval.models.huggingface").HFLM

    model, tokenizer = reciting_model()
    theirs = hflm(pretrained=model, tokenizer=tokenizer, batch_size=2, max_length=256, device="cpu")
    ours = harness_model(reciting, 0)

    def asked(kind: str, *given: tuple[Any, ...]) -> list[Any]:
        return [instance(request_type=kind, doc={}, arguments=args, idx=0, metadata=("t", 0, 1)) for args in given]

    pairs = [(conversation(question, "").removesuffix("<|im_end|>\n"), answer) for question, answer in RECORDS]
    pairs += [("Where is the  ", "harbour?"), ("Where is", " the kettle"), ("Nobody ", " knows")]
    with_bos = [(f"<|bos|>{context}", answer) for context, answer in pairs]
    found = ours.loglikelihood(asked("loglikelihood", *pairs))
    known = theirs.loglikelihood(asked("loglikelihood", *with_bos), disable_tqdm=True)
    assert [greedy for _, greedy in found] == [greedy for _, greedy in known]
    assert any(greedy for _, greedy in found)
    np.testing.assert_allclose([logprob for logprob, _ in found], [logprob for logprob, _ in known], rtol=1e-4)

    settings = {"until": [".", "\n\n"], "max_gen_toks": 24, "do_sample": False}
    assert ours.generate_until(asked("generate_until", *((c, settings) for c, _ in pairs))) == theirs.generate_until(
        asked("generate_until", *((c, dict(settings)) for c, _ in with_bos)), disable_tqdm=True
    )
    texts = [(f"{question} {answer}",) for question, answer in RECORDS]
    theirs.custom_prefix_token_id = ours.prefix_token_id
    rolling, known = (one.loglikelihood_rolling(asked("loglikelihood_rolling", *texts)) for one in (ours, theirs))
    np.testing.assert_allclose(rolling, known, rtol=1e-4)


def test_a_text_longer_than_the_context_is_read_in_windows(reciting: LanguageModel) -> None:
    class Asked:
        args = (" ".join(question for question, _ in RECORDS * 8),)

    ids = reciting.encode(Asked.args[0])
    room = reciting.context - 1
    assert room < len(ids) < 2 * room
    (found,) = harness_model(reciting, 0).loglikelihood_rolling([Asked()])
    (first,) = reciting.read([ids[:room]], reciting.bos_prefix())
    (last,) = reciting.read([ids[-room:]], Prefix("window", "", ids[-room - 1 : -room]))
    assert found == pytest.approx(first.logprobs.sum() + last.logprobs[-(len(ids) - room) :].sum(), rel=1e-4)
