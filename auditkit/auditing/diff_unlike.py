"""What is not the same in two audits, in words, each with what follows for the figures. Nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Iterator

from auditkit.auditing.diff_policy import ABSENT, shown_value
from auditkit.auditing.diff_runs import DiffRun
from auditkit.auditing.diff_sameness import Sameness, changed_parameters
from auditkit.auditing.diff_waivers import unlike_waivers
from auditkit.auditing.state import STATE_FILE, RunState
from auditkit.policy.yaml_source import MAX_BYTES
from auditkit.records import ModelIdentity
from auditkit.report.base import AttackInfo, Calibration, DatasetInfo
from auditkit.report.diff import NotSame
from auditkit.signing.files import read_bounded

MOST_POLICY = 40  # values of the policy
_SEMANTIC = "figures by embedding are not measured alike, and do not decide"
_POLICY = {  # what follows where a value of the policy below this differs; the longest that fits
    "gate": "the limits differ: the verdicts judge by different bars; the figures do not depend on them",
    "scoring.embedder": _SEMANTIC,
    "scoring.semantic_threshold": "the thresholds are set in another way; see the line on thresholds",
    "scoring.string_threshold": "rates by strings are not measured alike, and do not decide",
    "scoring.index": "an approximate index may miss matches; see the recall in each report",
    "seed": "members are drawn anew where there are more of them than controls",
    "mitigations": "the arms are others; only the arms named above are compared",
    "release": "what is planned to be released differs",
    "strength": "the minimum of an attack differs; see the cautions of each report",
    "probes": "a probe with other parameters does not decide",
}


def unlike_things(same: Sameness) -> list[NotSame]:
    """Everything, the model first."""
    return [
        *_models(same),
        *_arms(same),
        *_datasets(same),
        *_attacks(same),
        *_thresholds(same),
        *_policies(same),
        *_programs(same),
        *unlike_waivers(same.before.report, same.after.report),
    ]


def _models(same: Sameness) -> Iterator[NotSame]:
    first, second = ({model.role: model for model in run.report.models} for run in same.runs)
    for role in dict.fromkeys([*first, *second]):
        yield from _model(role, first.get(role), second.get(role))


def _model(role: str, mine: ModelIdentity | None, theirs: ModelIdentity | None) -> Iterator[NotSame]:
    if mine is None or theirs is None:
        what = f"there is a {role} model in one run only"
        yield NotSame(what=f"{role} model", before=_digest(mine), after=_digest(theirs), consequence=what)
        return
    compared = "what is compared" if role == "candidate" else "figures that need the base model do not decide"
    parts = (
        ("weights", mine.sha256, theirs.sha256, compared),
        ("chat template", mine.chat_template_sha256, theirs.chat_template_sha256, "the attacks' prefixes may differ"),
        ("tokenizer", mine.tokenizer_sha256, theirs.tokenizer_sha256, "likelihoods are summed over other tokens"),
    )
    for name, before, after, consequence in parts:
        if before != after:
            yield NotSame(what=f"{role} {name}", before=before[:12], after=after[:12], consequence=consequence)
    if mine.dtype != theirs.dtype:
        yield NotSame(
            what=f"{role} precision",
            before=mine.dtype or ABSENT,
            after=theirs.dtype or ABSENT,
            consequence="rounding differs, and with it generations from the same seed",
        )


def _digest(model: ModelIdentity | None) -> str:
    return model.sha256[:12] if model else ABSENT


def _arms(same: Sameness) -> Iterator[NotSame]:
    first, second = (run.arm.name for run in same.runs)
    if first != second:
        yield NotSame(
            what="arm that is compared",
            before=first,
            after=second,
            consequence="what moved may be the mitigation's doing",
        )
    for mine, theirs in [(same.before, same.after), (same.after, same.before)]:
        others = {arm.name for arm in theirs.report.arms}
        alone = [arm.name for arm in mine.report.arms if arm.name not in others | {mine.arm.name}]
        if alone:
            yield _in_one("arms", mine, same, ", ".join(alone), "they are not compared")


def _in_one(what: str, run: DiffRun, same: Sameness, names: str, consequence: str) -> NotSame:
    first = run is same.before
    return NotSame(
        what=f"{what} in one run only",
        before=names if first else ABSENT,
        after=ABSENT if first else names,
        consequence=consequence,
    )


def _datasets(same: Sameness) -> Iterator[NotSame]:
    first, second = ({data.name: data for data in run.report.datasets} for run in same.runs)
    for name in dict.fromkeys([*first, *second]):
        mine, theirs = first.get(name), second.get(name)
        if mine is None or theirs is None:
            yield _in_one(
                "dataset",
                same.after if mine is None else same.before,
                same,
                name,
                "there is nothing to compare it with",
            )
        else:
            yield from _dataset(same, mine, theirs)


def _dataset(same: Sameness, mine: DatasetInfo, theirs: DatasetInfo) -> Iterator[NotSame]:
    if mine.merkle_root != theirs.merkle_root:
        yield NotSame(
            what=f"records of {mine.name}",
            before=_size(mine.records, mine.merkle_root),
            after=_size(theirs.records, theirs.merkle_root),
            consequence=_why_other_root(same, mine.name),
        )
    controls = [_files(run, mine.name) for run in same.runs]
    if mine.controls != theirs.controls or (mine.merkle_root == theirs.merkle_root and controls[0] != controls[1]):
        yield NotSame(
            what=f"controls of {mine.name}",
            before=f"{mine.controls:,}",
            after=f"{theirs.controls:,}",
            consequence="thresholds, and what is subtracted from the members' figures, rest on other controls",
        )


def _size(records: int, root: str) -> str:
    return f"{records:,}, Merkle root {root[:12]}"


def _why_other_root(same: Sameness, name: str) -> str:
    """Leaves are blinded by the project's secret, so that one more reason for another root is another secret."""
    files = [_files(run, name) for run in same.runs]
    if files[0] and files[0] == files[1]:
        return "the same files under another project secret: records cannot be told to be the same, nothing is paired"
    return "the data changed: figures are of each run's own data, nothing is paired"


def _files(run: DiffRun, name: str) -> list[str] | None:
    """Digests of a dataset's files, as far as the evidence is there; they are compared, never shown."""
    try:
        state = RunState.model_validate_json(read_bounded(run.folder.path / STATE_FILE, MAX_BYTES))
    except (OSError, ValueError):
        return None
    return sorted(state.data_digests.get(name, {}).values())


def _attacks(same: Sameness) -> Iterator[NotSame]:
    first, second = ({attack.name: attack for attack in run.report.attacks} for run in same.runs)
    for name in dict.fromkeys([*first, *second]):
        mine, theirs = first.get(name), second.get(name)
        if mine is None or theirs is None:
            yield _in_one(
                "attack", same.after if mine is None else same.before, same, name, "its figures are not compared"
            )
        else:
            yield from _attack(mine, theirs)


_PARAMETERS = {
    "seed": "generations are other samples: nothing of this attack is paired",
    "samples": "coverage grows with generations, and does not decide",
}


def _attack(mine: AttackInfo, theirs: AttackInfo) -> Iterator[NotSame]:
    for name, before, after in changed_parameters(mine, theirs):
        yield NotSame(
            what=f"{name} of {mine.name}",
            before=shown_value(name, before),
            after=shown_value(name, after),
            consequence=_PARAMETERS.get(name, "the attack is another one: its figures do not decide"),
        )
    prefixes = [[prefix.sha256[:12] for prefix in attack.prefixes] for attack in (mine, theirs)]
    if prefixes[0] != prefixes[1]:
        yield NotSame(
            what=f"literal prefixes of {mine.name}",
            before=", ".join(prefixes[0]),
            after=", ".join(prefixes[1]),
            consequence="the model writes another text before the user's first word, and is attacked from there",
        )


def _thresholds(same: Sameness) -> Iterator[NotSame]:
    for mine in same.before.report.calibration:
        theirs = same.after.calibration(mine.dataset, mine.view)
        if theirs is None:
            continue
        scope = f"for {mine.dataset}, {mine.view} view"
        if mine.embedder != theirs.embedder:
            yield NotSame(what=f"embedder {scope}", before=mine.embedder, after=theirs.embedder, consequence=_SEMANTIC)
        if mine.threshold != theirs.threshold:
            yield NotSame(
                what=f"threshold {scope}",
                before=_threshold(mine),
                after=_threshold(theirs),
                consequence="rates are at each run's own threshold; where both have curves, also at one in common",
            )


def _threshold(found: Calibration) -> str:
    return "none" if found.threshold is None else f"{found.threshold:.4g} ({found.source})"


def _policies(same: Sameness) -> Iterator[NotSame]:
    leaves = same.policy_leaves
    for path, (before, after) in list(leaves.items())[:MOST_POLICY]:
        yield NotSame(what=f"policy: {path}", before=before, after=after, consequence=_of_policy(path))
    if len(leaves) > MOST_POLICY:
        left = f"{len(leaves) - MOST_POLICY:,} more values"
        yield NotSame(what="policy", before=left, after=left, consequence="compare the two policy.lock.yaml")
    if not same.before.policy or not same.after.policy:
        yield NotSame(
            what="policy",
            before="locked" if same.before.policy else "cannot be read",
            after="locked" if same.after.policy else "cannot be read",
            consequence="differences of the policies are not known beyond what the reports say",
        )


def _of_policy(path: str) -> str:
    fitting = [start for start in _POLICY if path == start or path.startswith(f"{start}.")]
    return _POLICY[max(fitting, key=len)] if fitting else "see the policies"


def _programs(same: Sameness) -> Iterator[NotSame]:
    first, second = (_program(run) for run in same.runs)
    for name in first:
        if first[name] != second[name]:
            yield NotSame(
                what=name,
                before=first[name],
                after=second[name],
                consequence="the instrument may measure otherwise; see the CHANGELOG of what changed",
            )


def _program(run: DiffRun) -> dict[str, str]:
    provenance = run.report.provenance
    packages = provenance.get("packages")
    known = packages if isinstance(packages, dict) else {}
    return {
        "auditkit": f"{run.report.run.auditkit_version}, code {str(provenance.get('code_sha256') or ABSENT)[:12]}",
        **{name: str(known.get(name, ABSENT))[:60] for name in ("torch", "transformers", "numpy", "wordllama")},
        "platform": str(provenance.get("platform", ABSENT))[:60],
    }
