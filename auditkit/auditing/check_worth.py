"""What would keep ``worth`` from being measured, and what it takes, said before anything is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from auditkit.auditing.lm_evaluation import check_lm_eval
from auditkit.auditing.prepare import PreparedDataset
from auditkit.auditing.worth_plan import read_all_tasks, valued_dataset
from auditkit.errors import MissingExtraError, PolicyError, Problem
from auditkit.policy.schema import Policy, Worth
from auditkit.training.examples import read_replay
from auditkit.training.libraries import adapter_library, training_libraries
from auditkit.worth.languages import speaks
from auditkit.worth.section import WorthRecipe
from auditkit.worth.tasks import read_tasks
from auditkit.worth.training import of_records

CHARACTERS_PER_TOKEN = 4
TRAINING_PASSES = 3  # forward, and backward at twice its cost
TRAINING_EFFICIENCY, WRITING_EFFICIENCY = 0.3, 0.25  # of a plain matrix product on the same machine


def check_worth(policy: Policy) -> None:
    """Refuse what cannot be trained or asked here.

    Raises:
        DataError: a file of tasks or of plain text cannot be read, or a line of it is none such.
        AuditkitError: a task of worth.lm_eval that is not known, or whose data are not here; an unknown language.
        MissingExtraError: a library is missing.
    """
    section = policy.worth
    if section is None:
        return
    for what, extra in missing_for_worth(policy):
        raise MissingExtraError(what, extra)
    if section.filter.languages:
        speaks(section.filter.languages, section.filter.language_confidence)
    check_worth_files(policy, section)
    if section.lm_eval:
        check_lm_eval(section.lm_eval, policy.seed)


def check_worth_files(policy: Policy, section: Worth) -> None:
    """Read what the section names, and keep nothing.

    Raises:
        DataError: a file cannot be read, or a line of it is not what it should be.
    """
    for task in section.tasks:
        read_tasks(task, policy.seed)
    if section.recipe.replay:
        read_replay(section.recipe.replay)


def check_worth_data(policy: Policy, datasets: Sequence[PreparedDataset]) -> None:
    """Refuse tasks that are trained on, and data that cannot be.

    Raises:
        DataError: a question is a member's or a control's.
        PolicyError: no member, or no control, has what the method trains on.
    """
    section = policy.worth
    if section is None:
        return
    read_all_tasks(policy, section, datasets)
    for data in datasets:
        if data.name == valued_dataset(policy, section):
            problems = list(_untaught(policy, section.recipe, data))
            if problems:
                raise PolicyError(problems)


def _untaught(policy: Policy, recipe: WorthRecipe, data: PreparedDataset) -> Iterator[Problem]:
    """The sides of the dataset that nothing can be learned from."""
    needed = "an answer" if recipe.method == "sft" else "a final answer that can be read"
    for side in (data.members, data.controls):
        if not of_records(side.records, recipe):
            what = f"`worth`: no {side.split} of {data.name} has {needed}, so {recipe.method} learns nothing"
            hint = "value a dataset of questions with answers: worth: {dataset: ...}"
            yield Problem(policy.source.file, policy.line_of("worth") or None, what, hint)


def few_controls(policy: Policy, datasets: Sequence[PreparedDataset]) -> str:
    """A warning where controls are what keeps every arm small; "" where they are not."""
    section = policy.worth
    data = next((one for one in datasets if section and one.name == valued_dataset(policy, section)), None)
    if section is None or data is None:
        return ""
    controls, wanted = len(data.controls.records), min(section.records, len(data.members.records))
    if controls >= wanted:
        return ""
    return f"worth: {data.name} has {controls:,} controls, so that no arm trains on more rows than these"


def missing_for_worth(policy: Policy) -> Iterator[tuple[str, str]]:
    """What the section needs and this installation has not; with the extra that brings it."""
    section = policy.worth
    if section is None:
        return
    try:
        training_libraries()
        if section.recipe.lora_rank:
            adapter_library()
    except MissingExtraError:
        yield "what `worth` trains with", "lab"
    if section.lm_eval and find_spec("lm_eval") is None:
        yield "lm-evaluation-harness", "lm-eval"
    if section.filter.languages and find_spec("py3langid") is None:
        yield "py3langid, which tells languages apart,", "languages"


def what_worth_takes(policy: Policy, datasets: Sequence[PreparedDataset], parameters: int) -> tuple[str, float]:
    """A sentence, and floating-point operations at the pace of a plain matrix product (0: unknown).

    An upper bound: how much of the generations the filter leaves is not known before the attack.
    """
    section = policy.worth
    assert section is not None
    data = next((one for one in datasets if one.name == valued_dataset(policy, section)), None)
    trainings = section.seeds * (2 + len(section.budgets))
    told = f"worth: {trainings} trainings of the base model"
    if data is None or not data.members.records:
        return f"{told}; what they take is not known before the data are read", 0.0
    rows = min(section.records, len(data.members.records), len(data.controls.records))
    characters = sum(len(text) for text in data.members.texts("record")) / len(data.members.records)
    read, written = _tokens(section.recipe, rows, characters / CHARACTERS_PER_TOKEN)
    read, written = trainings * read, trainings * written + (trainings + 1) * _asked(policy, section)
    told += f" on at most {rows:,} rows each, up to {read:,.0f} tokens read and {written:,.0f} written"
    if section.lm_eval:
        told += "; tasks of lm-evaluation-harness not counted"
    work = 2 * parameters * (TRAINING_PASSES * read / TRAINING_EFFICIENCY + written / WRITING_EFFICIENCY)
    return told, work


def _tokens(recipe: WorthRecipe, rows: int, length: float) -> tuple[float, float]:
    """Tokens of one training: read with gradients, and sampled."""
    length = min(length, recipe.max_tokens or length)
    if recipe.method == "sft":
        return rows * recipe.epochs * length, 0.0
    answers = rows * recipe.epochs * recipe.samples
    return answers * (length + recipe.max_new_tokens), answers * float(recipe.max_new_tokens)


def _asked(policy: Policy, section: Worth) -> float:
    """Tokens of all answers of one model at most."""
    return float(sum(len(read_tasks(task, policy.seed)) * task.max_new_tokens for task in section.tasks))
