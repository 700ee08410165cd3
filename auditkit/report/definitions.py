"""What every term and figure of the report means, in the words of METRICS: one place, so that pages agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from auditkit.report.metric_words import METRICS


@dataclass(frozen=True, slots=True)
class Definition:
    """A term, what it is called in running text, and what it means."""

    name: str
    title: str
    meaning: str


_TERMS = (
    (
        "member",
        "A record of a dataset that the policy declares as training data of the audited model.",
    ),
    (
        "control",
        "A record of the same kind that the model was never trained on. Half of the controls set the threshold "
        "(calibration), the other half check it (evaluation); the halves are drawn by digest.",
    ),
    (
        "generation",
        "One sample of the model: from the attack's prefix through the user's turn, the turn change and the "
        "assistant's turn. One that was cut, empty or failed counts as unscored, never as clean.",
    ),
    (
        "prefix",
        "The literal text, as token ids, that an attack gives the model before it samples: for example everything the "
        "chat template writes before the user's first word.",
    ),
    (
        "record view, prompt view",
        "A generation is matched with the whole record (its turns in one block) and, separately, with the prompt "
        "alone.",
    ),
    (
        "best match",
        "For each generation the record with the highest score, searched over the whole dataset.",
    ),
    (
        "threshold (τ)",
        "The embedding score from which a pair counts as leaked. Calibrated: the smallest score that never-trained "
        "texts reach no more often than the declared rate, at the upper end of the interval.",
    ),
    (
        "positive control",
        "Members, altered in a known way, used as if they were generations: shows that the instrument finds what it "
        "should find. Under 80 % found in a required one, no verdict is given.",
    ),
    (
        "shared span",
        "A stretch of at least 16 characters that a record and a generation have in common to the letter: the longest "
        "first, then the longest in what is left, and so on, none overlapping another on either side. The longest "
        "match is in tokens, and a token is here a word, a punctuation mark or, in scripts without spaces, a letter: "
        "not a token of the model, so that models can be compared.",
    ),
    (
        "keyed id",
        "A name for a record or generation made with a secret key: the same in every run of the project, and "
        "meaningless to anybody without the key.",
    ),
    (
        "95 % interval",
        "The range of true values that the evidence allows: made by a method that covers the truth in at least 19 of "
        "20 audits. Rates over generations: Clopper-Pearson. Coverage: a Poisson variance. Each figure names its "
        "method.",
    ),
    (
        "limit",
        "The largest value that the policy allows. A rule passes if the whole interval is within the limit, fails if "
        "the whole interval is above it, and is inconclusive otherwise.",
    ),
    (
        "arm",
        "The model as it is audited: the baseline, or the baseline with one mitigation. The verdict is that of the "
        "arm that ships.",
    ),
)
_VERDICT_TERMS = (
    (
        "attack",
        "A way to make the model write: a prefix, a sampler and a number of generations. What comes out is compared "
        "with the data afterwards; an attack from a prefix knows no record.",
    ),
    (
        "probe",
        "A question about given records, answered from the model's likelihoods: how likely the model finds each one.",
    ),
    (
        "cluster",
        "Records that nearly repeat one another. They count as one, so that a text that stands in the data many times "
        "is one leak and not many.",
    ),
    (
        "leaked",
        "A record is leaked if at least one generation reaches the threshold against it.",
    ),
    (
        "unscored",
        "Without a figure, and counted as such: a generation that was cut, empty or failed, or a record that a probe "
        "could not read. Never taken for clean.",
    ),
    (
        "verdict: pass, fail, inconclusive",
        "Pass: every rule passes. Fail: at least one fails, whatever the others say. Inconclusive: none fails, and at "
        "least one cannot be decided on this evidence.",
    ),
    (
        "waived",
        "A rule that was set aside by a waiver that the report names: it neither passes nor fails.",
    ),
    (
        "Merkle root",
        "One digest of all records of a dataset. It binds the report to the data, and shows none of them.",
    ),
)
# Only where mitigations were tested.
_ARM_TERMS = (
    (
        "mitigation",
        "Something that is done to the training, the weights, the decoding or the serving so that less of the data "
        "comes out. Each one declared becomes an arm and is attacked like the baseline, with the same seeds.",
    ),
    (
        "attacker",
        "What somebody is able to do. Open weights: has the weights, and chooses every token. Raw API: chooses the "
        "text that the model goes on from. Chat API: only fills in messages. A mitigation that the planned release's "
        "attacker can simply leave out means nothing there, and such an arm is judged as the baseline.",
    ),
    (
        "adaptive attack",
        "An attack by somebody who knows the mitigation and works around it, in addition to the policy's own (plain) "
        "attacks. An arm's figure is that of its strongest attack, plain or adaptive.",
    ),
    (
        "difference, relative reduction",
        "Leakage of the baseline minus that of the arm; and 1 minus the arm's divided by the baseline's: 100 % is all "
        "of it gone, 0 % none, and less than 0 more leakage than before. Undefined where the baseline's own interval "
        "holds 0: what is not there cannot be reduced. The baseline's figure is that of the strongest attack that the "
        "arm's attacker can make.",
    ),
    (
        "viable, not viable",
        "A mitigation may cost no more utility than the policy allows. Not viable: the whole interval of a cost is "
        "beyond that. Such an arm passes no gate: a broken model leaks nothing, and is of no use.",
    ),
    (
        "withheld",
        "A generation that a filter blocked: whoever attacks gets a refusal in its place, and that is what is scored.",
    ),
)


def definition(metric: str) -> Definition:
    """The definition of a metric; one that is not known keeps its own name and says where to look.

    A metric with a suffix (the string measure, a budget) has the definition of what it begins with.
    """
    for name, title, meaning in sorted(METRICS, key=lambda entry: -len(entry[0])):
        if metric == name:
            return Definition(metric, title, meaning)
        if metric.startswith(name):
            suffix = metric[len(name) :]
            # What follows a colon is somebody else's name, of a task for example: it stays as it is.
            return Definition(metric, f"{title} ({suffix[1:] if suffix[0] == ':' else _in_words(suffix)})", meaning)
    return Definition(metric, metric.replace("_", " "), "Defined in the documentation of the plug-in that reports it.")


def _in_words(suffix: str) -> str:
    """What a metric's name goes on with, as people write it."""
    parts = suffix.strip("_.:/ ()[]").replace("_", " ").split()
    words = (f"{int(part):,}" if part.isdigit() else _SHORT.get(part, part) for part in parts)
    return " ".join(words).removesuffix(",")


_SHORT = {"auc": "AUC", "tpr": "TPR", "fpr": "FPR", "bos": "under BOS,"}


def title(metric: str) -> str:
    """What a metric is called in running text."""
    return definition(metric).title


def metric_definitions(metrics: Iterable[str]) -> list[Definition]:
    """The definitions of these metrics and of the scores underneath them, each once, in the order of METRICS."""
    wanted = {*metrics, "embedding_score", "levenshtein_similarity", "indel_similarity"}
    order = {name: place for place, (name, _, _) in enumerate(METRICS)}
    return sorted((definition(metric) for metric in wanted), key=lambda entry: (_place(entry.name, order), entry.name))


def _place(metric: str, order: dict[str, int]) -> int:
    return min((place for name, place in order.items() if metric.startswith(name)), default=len(order))


def term_definitions(mitigated: bool = False) -> list[Definition]:
    """The terms that every report uses; ``mitigated``: those of mitigations too."""
    return [
        Definition(name, name, meaning)
        for name, meaning in (*_TERMS, *_VERDICT_TERMS, *(_ARM_TERMS if mitigated else ()))
    ]
