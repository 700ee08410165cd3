"""The result of ``lab mitigations`` as Markdown, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from auditkit.lab.mitigations_policy import ATTACK
from auditkit.lab.mitigations_result import ArmResult, Comparison, Effect, Figure, KnownResult, LabMitigations
from auditkit.records import Estimate
from auditkit.report import formatting
from auditkit.report.instrument import HELD_AT_LEAST, HELD_AT_MOST, IntervalCheck
from auditkit.report.safe_text import safe_line

STRING, PERPLEXITY, ACCURACY = "string_memorisation_rate", "control_perplexity", "task_accuracy"
LONGEST = 300  # characters of a cell
NONE = "–"
FRESH = "each with data, weights and order of a seed of its own"
LARGE, NOTHING = 0.5, 0.1  # relative reductions

_ARMS = (
    "arm",
    "attacker",
    "leak, plain attack",
    "leak, strongest attack",
    "strongest attack",
    "less by (plain)",
    "less by (strongest)",
    "verbatim, plain attack",
    "perplexity",
    "of use",
    "gate",
)
_COSTS = ("arm", "seed", "figure", "baseline", "arm's", "higher by")
_SEEDS = ("arm", "seed", "attack", "baseline", "arm's", "difference", "less by")


def markdown(found: LabMitigations) -> str:
    """Everything as a page."""
    parts = [
        f"# Mitigations on the family {found.recipe}",
        _introduction(found),
        "## Every arm",
        *_arms(found),
        *_randomised(found),
        "## Known results",
        _known(found.known),
        "## A mitigation that does nothing",
        *_null(found),
        "## Seed by seed",
        *_by_seed(found),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(found: LabMitigations) -> str:
    outcomes = ", ".join(f"seed {seed}: {outcome}" for seed, outcome in found.baseline.items())
    models = "1 model" if len(found.seeds) == 1 else f"{len(found.seeds)} models"
    seconds = " and ".join(formatting.duration(value) for value in found.seconds.values())
    return (
        f"{models} ({FRESH}), trained on data that is known to the record, audited with every mitigation as an arm. "
        f"Leak is {_words(found.metric)}; the gate accepts {formatting.percent(found.limit)}. Without mitigation the "
        f"gate says: {outcomes}. Figures are means over seeds with Student's 95 % interval over seeds in brackets; "
        f"each seed's own stands at the end. The audits took {seconds} on {', '.join(found.machine.values())}."
    )


def _arms(found: LabMitigations) -> Iterator[str]:
    yield _table(_ARMS, [_arm_row(arm, found.metric) for arm in found.arms])
    notes = [f"- **{arm.arm}**: {arm.summary}{_remarks(arm)}" for arm in found.arms]
    yield "\n".join(safe_line(note, 1000) for note in notes)


def _arm_row(arm: ArmResult, metric: str) -> list[str]:
    plain, strongest = plain_effect(arm, metric), _effect(arm, metric, "strongest")
    string, perplexity = plain_effect(arm, STRING), _effect(arm, PERPLEXITY, "utility")
    return [
        arm.arm,
        _words(arm.attacker),
        _share(plain.mitigated if plain else None),
        _share(strongest.mitigated if strongest else None),
        ", ".join(dict.fromkeys(one.arm_attack for one in strongest.seeds)) if strongest else NONE,
        _share(plain.reduction if plain else None),
        _share(strongest.reduction if strongest else None),
        _share(string.mitigated if string else None),
        _rise(perplexity),
        _of_use(arm),
        ", ".join(dict.fromkeys(arm.gate.values())) or NONE,
    ]


def plain_effect(arm: ArmResult, metric: str) -> Effect | None:
    """Of the template attack on both sides, or of the first attack that the arm's attacker can make."""
    found = [one for one in arm.effects if (one.metric, one.comparison) == (metric, "plain")]
    return next((one for one in found if one.attack == ATTACK), next(iter(found), None))


def _effect(arm: ArmResult, metric: str, comparison: Comparison) -> Effect | None:
    return next((one for one in arm.effects if (one.metric, one.comparison) == (metric, comparison)), None)


def _of_use(arm: ArmResult) -> str:
    if arm.failed:
        return "could not be made"
    words = {"viable": "yes", "not_viable": "no", "unknown": "not decided"}
    return ", ".join(dict.fromkeys(words[outcome] for outcome in arm.viability.values()))


def _remarks(arm: ArmResult) -> str:
    reasons = [*arm.failed.values(), arm.meaningless]
    return "".join(f" {reason}" for reason in dict.fromkeys(filter(None, reasons)))


def _randomised(found: LabMitigations) -> Iterator[str]:
    """The effect of template randomisation, as it is: nobody has published one."""
    for arm in found.arms:
        if arm.mitigation == "template_randomisation":
            effects = {"plain": plain_effect(arm, found.metric), "strongest": _effect(arm, found.metric, "strongest")}
            lines = [_size(attack, effect) for attack, effect in effects.items() if effect]
            yield "\n".join([f"The effect of template randomisation ({arm.arm}):\n", *lines])


def _size(attack: str, effect: Effect) -> str:
    figures = f"{_share(effect.baseline)} without, {_share(effect.mitigated)} with it"
    return f"- {attack} attack: {figures}; less by {_share(effect.reduction)}: {size_of(effect.reduction)}"


def size_of(reduction: Figure) -> str:
    """A relative reduction in a word, by its whole interval."""
    if reduction.value is None or reduction.low is None or reduction.high is None:
        return "not known"
    if reduction.low >= LARGE:
        return f"large: at least {100 * LARGE:g} % of the leak is gone"
    if max(abs(reduction.low), abs(reduction.high)) <= NOTHING:
        return f"none to speak of: within {100 * NOTHING:g} % of the leak either way"
    if reduction.low > 0:
        return "small" if reduction.high < LARGE else "an effect, large or small"
    return "a rise" if reduction.high < 0 else "not decided: the interval holds 0"


def _known(known: Sequence[KnownResult]) -> str:
    rows = [[one.claim, one.measured, _plain_figure(one), _told(one)] for one in known]
    rules = "\n".join(f"- {rule}" for rule in dict.fromkeys(one.rule for one in known))
    return f"{_table(('known', 'measured here', 'figure', 'found'), rows)}\n\n{rules}"


def _told(known: KnownResult) -> str:
    return f"{known.found}: {known.note}" if known.note else known.found


def _plain_figure(known: KnownResult) -> str:
    return _number(known.figure) if "perplexity" in known.measured else _share(known.figure)


def _null(found: LabMitigations) -> Iterator[str]:
    if not found.null:
        yield "Not measured."
        return
    held = f"{100 * HELD_AT_LEAST:g} to {100 * HELD_AT_MOST:g} %"
    yield (
        "Both sides of a pair are runs of the same model, drawn from a large pool of its generations, and compared as "
        f"an arm is compared with its baseline. The interval of the difference should hold 0 in {held} of the pairs. "
        "Where few events are expected, an exact interval is wider than it need be."
    )
    header = ("figure", "dataset", "generations a run", "pairs", "interval held 0", "expected events", "found")
    yield _table(header, [_null_row(check) for part in found.null for check in part.checks])


def _null_row(check: IntervalCheck) -> list[str]:
    held = NONE if check.held is None else formatting.percent(check.held)
    events = NONE if check.events is None else formatting.number(check.events, 3)
    found = check.outcome.replace("_", " ") + (f": {check.reason}" if check.reason else "")
    return [_words(check.metric), check.dataset, str(check.draws), str(check.runs), held, events, found]


def _by_seed(found: LabMitigations) -> Iterator[str]:
    comparisons: tuple[tuple[Comparison, str], ...] = (("plain", "Plain attack"), ("strongest", "Strongest attack"))
    for comparison, title in comparisons:
        rows = [row for arm in found.arms for row in _seed_rows(arm, found.metric, comparison)]
        yield f"### {title}: {_words(found.metric)}\n\n{_table(_SEEDS, rows)}"
    rows = [row for arm in found.arms for row in _cost_rows(arm)]
    yield f"### Cost\n\n{_table(_COSTS, rows)}"


def _seed_rows(arm: ArmResult, metric: str, comparison: Comparison) -> Iterator[list[str]]:
    effect = plain_effect(arm, metric) if comparison == "plain" else _effect(arm, metric, comparison)
    for one in effect.seeds if effect else []:
        yield [
            arm.arm,
            str(one.seed),
            one.arm_attack,
            *(_estimate(side) for side in (one.baseline, one.mitigated, one.difference)),
            _interval(one.reduction.value, one.reduction.low, one.reduction.high, share=True),
        ]


def _cost_rows(arm: ArmResult) -> Iterator[list[str]]:
    for effect in arm.effects:
        if effect.comparison != "utility":
            continue
        for one in effect.seeds:
            fell = one.reduction
            ends = (None if end is None else -end for end in (fell.value, fell.high, fell.low))
            sides = (_estimate(side) for side in (one.baseline, one.mitigated))
            yield [arm.arm, str(one.seed), _words(effect.metric), *sides, _interval(*ends, share=True)]


def _rise(effect: Effect | None) -> str:
    """How much higher the figure is, as a share of the baseline's."""
    if effect is None or effect.reduction.value is None:
        return NONE
    fell = effect.reduction
    ends = [None if end is None else -end for end in (fell.value, fell.high, fell.low)]
    return _interval(*ends, share=True)


def _share(figure: Figure | None) -> str:
    return NONE if figure is None else _interval(figure.value, figure.low, figure.high, share=True)


def _number(figure: Figure) -> str:
    return _interval(figure.value, figure.low, figure.high, share=False)


def _estimate(estimate: Estimate) -> str:
    return _interval(estimate.value, estimate.low, estimate.high, share=formatting.is_share(estimate.metric))


def _interval(value: float | None, low: float | None, high: float | None, *, share: bool) -> str:
    if value is None:
        return NONE
    shown = formatting.percent if share else formatting.number
    ends = "" if low is None or high is None else f" [{shown(low)}, {shown(high)}]"
    return f"{shown(value)}{ends}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(safe_line(cell, LONGEST).replace("|", "\\|") for cell in row) + " |" for row in lines
    )
