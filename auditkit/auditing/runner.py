"""The one loop: policy in, run folder and verdict out. Every stage leaves its result on disk and can be resumed."""

from __future__ import annotations

import resource
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from auditkit.auditing import run_folder
from auditkit.auditing.arms import baseline_utility, run_arms
from auditkit.auditing.assemble import assemble
from auditkit.auditing.blinding import blind
from auditkit.auditing.bookkeeping import closed, entered, settled
from auditkit.auditing.check_arms import check_arms
from auditkit.auditing.check_worth import check_worth, check_worth_data
from auditkit.auditing.context import Context
from auditkit.auditing.elsewhere import with_engine, workers_of
from auditkit.auditing.embedding import embedding_info
from auditkit.auditing.events import EventLog, now
from auditkit.auditing.generate import generate
from auditkit.auditing.history import registration_files
from auditkit.auditing.measured import measured_baseline
from auditkit.auditing.open_model import OpenModel
from auditkit.auditing.prepare import PreparedDataset, prepare
from auditkit.auditing.probing import ask_base, ask_candidate, measure
from auditkit.auditing.progress import Both, Progress, Silent, each, single
from auditkit.auditing.provenance import code_sha256
from auditkit.auditing.publish import check_formats, check_scoring, load_report, publish, signing_keys
from auditkit.auditing.run_folder import RunFolder
from auditkit.auditing.score import Scores, score
from auditkit.auditing.secret import project_secret
from auditkit.auditing.spending import NO_MORE, More, metered, raise_budget, refuse_sending, unreached
from auditkit.auditing.state import STATE_FILE, RunState, data_digests
from auditkit.auditing.status_file import telling
from auditkit.auditing.waiving import locked, run_files
from auditkit.auditing.worth import measured_worth
from auditkit.corpus.identity import keyed_digest
from auditkit.engines.base import Cluster
from auditkit.errors import AuditkitError, ModelError, RunError
from auditkit.files import make_folder
from auditkit.policy.load import lock, weaker_than_preset
from auditkit.policy.schema import Policy
from auditkit.records import ModelIdentity
from auditkit.report.base import AuditReport, RunInfo


@dataclass(frozen=True)
class Result:
    """A finished run. ``read_only``: it was finished before, and was only read."""

    report: AuditReport
    folder: Path
    read_only: bool = False


@dataclass(frozen=True)
class _Prepared:
    """What is known before the first stage."""

    policy: Policy
    state: RunState
    datasets: list[PreparedDataset]
    secret: bytes
    workers: Cluster | None


@dataclass
class StageClock:
    """Wall time and peak memory of each stage of this process."""

    seconds: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage. The peak is the process' own so far: it can only rise from stage to stage."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 3)
        unit = 1 if sys.platform == "darwin" else 1024
        self.peak_bytes[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def audit(policy: Policy, out: Path | str | None = None, progress: Progress | None = None) -> AuditReport:
    """Run an audit and return its report; the same run as ``auditkit run``.

    ``out`` is the folder in which the run folder is made (default: ``reports``).

    Raises:
        AuditkitError: wrong policy, data or model (nothing was run), or a RunError that can be resumed.
    """
    return start(policy, Path(out or "reports"), progress or Silent()).report


def start(policy: Policy, out: Path, progress: Progress) -> Result:
    """Begin a run: everything that can be refused is refused before the run folder exists."""
    clock = StageClock()
    with clock.stage("prepare"):
        secret = _refuse_early(policy)
        registration = registration_files(policy)
        models = _identify(policy, progress)
        datasets = prepare(policy, secret, progress)
        check_worth_data(policy, datasets)
        waivers = run_files(policy)
        state = _state(policy, models, datasets, secret, locked(waivers))
    files = {"policy.lock.yaml": state.lock.encode(), STATE_FILE: state.model_dump_json(indent=1).encode()}
    files |= {**waivers, **registration}
    with workers_of(policy) as workers:
        run = run_folder.create(out, policy.name, files)
        progress.note(f"run folder {run.path}")
        return _execute(_Prepared(policy, state, datasets, secret, workers), run, clock, progress)


def resume(path: Path, progress: Progress, engine: str = "", more: More = NO_MORE) -> Result:
    """Go on with an interrupted run; a finished one is only read.

    ``engine``: where the rest of the work runs (local, ray, ray:HOST:PORT), if not where the policy says; nothing that
    is measured hangs on it. ``more`` is what served models may cost beyond the policy's budget: US dollars, tokens.

    Raises:
        AuditkitError: no run there, or the model or data changed since it began.
    """
    run = run_folder.existing(path)
    if run.finished:
        progress.note("this run is finished; nothing is left to do")
        return Result(settled(run, load_report(run)), run.path, read_only=True)
    try:
        state = RunState.model_validate_json((run.path / STATE_FILE).read_bytes())
    except (OSError, ValueError):
        raise AuditkitError(f"{run.path / STATE_FILE} is missing or damaged", "start a new run") from None
    policy = with_engine(state.restore_policy(), engine)
    clock = StageClock()
    with clock.stage("prepare"):
        secret = _refuse_early(policy)
        datasets = prepare(policy, secret, progress)
        state.check_unchanged(_identify(policy, progress), datasets)
    with workers_of(policy) as workers:
        return _execute(_Prepared(policy, state, datasets, secret, workers), run, clock, progress, more)


def _refuse_early(policy: Policy) -> bytes:
    """Complain now of what would be missing at the end of a run; the project's secret."""
    check_formats(policy)
    check_scoring(policy)
    policy.engine.ready()
    signing_keys(policy)
    check_arms(policy)
    check_worth(policy)
    refuse_sending(policy)
    return project_secret(policy)


def _execute(
    prepared: _Prepared, run: RunFolder, clock: StageClock, progress: Progress, more: More = NO_MORE
) -> Result:
    """Every stage in turn; what an earlier process finished is taken from disk."""
    with run.exclusive(), _interruptible(run):
        if run.finished:  # by another process, while this one was reading the data
            return Result(settled(run, load_report(run)), run.path, read_only=True)
        make_folder(run.work)  # gone where an earlier process was killed between clearing up and signing
        run.drop_part_files()
        log = EventLog(run.events)
        with telling(run, resumed=log.count("started") > 0) as status:
            context = Context(
                prepared.policy,
                prepared.state,
                prepared.datasets,
                prepared.secret,
                run=run,
                log=log,
                progress=Both(progress, status),
                cluster=prepared.workers,
            )
            refuse_sending(context.policy)
            with entered(context):
                if prepared.workers:
                    log.append("engine", **prepared.workers.provenance())
                raise_budget(log, *more)
                result = _staged(metered(context), clock)
        closed(run, result.report)
        return result


def _staged(context: Context, clock: StageClock) -> Result:
    """The stages of a run that its folder, its event log and the ledger know of."""
    with OpenModel(context.policy.models.candidate, "candidate") as candidate:
        with clock.stage("generate"):
            generate(context, candidate)
        with clock.stage("probe candidate"):
            ask_candidate(context, candidate)
        with clock.stage("utility"):
            utility = baseline_utility(context, candidate)
    with clock.stage("probe base"):
        ask_base(context, candidate)
    with clock.stage("measure"):
        probed = measure(context, candidate)
    with clock.stage("score"):
        scores = score(context)
    baseline = measured_baseline(context, scores, probed, utility)
    with clock.stage("worth"):
        worth = measured_worth(context)
    with clock.stage("arms"):
        arms = run_arms(context, baseline)
    with clock.stage("assemble"), single(context.progress, "put the report together"):
        report = assemble(context, baseline, arms, _run_info(context, clock, scores), worth)
    publish(context, report)
    return Result(report, context.run.path)


def _run_info(context: Context, clock: StageClock, scores: Scores) -> RunInfo:
    from auditkit import __version__

    return RunInfo(
        id=context.run.id,
        started=context.state.started,
        finished=now(),
        resumed=context.log.count("resumed"),
        auditkit_version=__version__,
        stage_seconds=dict(clock.seconds),
        peak_memory_bytes=dict(clock.peak_bytes),
        embedding=embedding_info(context, scores.embedded),
        blind=context.state.blind,
    )


@contextmanager
def _interruptible(run: RunFolder) -> Iterator[None]:
    """Whatever stops a run, the user is told how to go on with it."""
    try:
        yield
    except KeyboardInterrupt:
        raise RunError(
            "interrupted; what was finished is kept", f"go on with: auditkit run --resume {run.path}"
        ) from None
    except MemoryError:
        raise RunError("out of memory", f"free some, then: auditkit run --resume {run.path}") from None
    except RunError:
        raise
    except AuditkitError as error:  # its own code would say that nothing was run
        hint = f"{error.hint}; then: auditkit run --resume {run.path}".removeprefix("; then: ")
        raise RunError(error.message, hint) from error
    except Exception as error:  # a library's message may quote the data: its kind and place have to do
        raise RunError(f"the run broke: {_kind_and_place(error)}", f"auditkit run --resume {run.path}") from error


def _kind_and_place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at {Path(frames[-1].filename).name}:{frames[-1].lineno}"


def _identify(policy: Policy, progress: Progress) -> list[ModelIdentity]:
    """Digests of every declared model. A hub model is fetched first: what is not here cannot be audited."""
    named = (("candidate", policy.models.candidate), ("base", policy.models.base))
    models = []
    declared = [(role, backend) for role, backend in named if backend is not None]
    for role, backend in each(progress, "read models", "models", declared):
        backend.fetch()
        found = backend.preflight(role)
        for warning in found.warnings:
            progress.note(f"warning: {role}: {warning}")
        if found.identity is None:
            raise ModelError(f"the {role} model is not on this machine", "; ".join(found.warnings))
        models.append(replace(found.identity, source=_as_declared(found.identity.source, policy)))
    return models


def _as_declared(source: str, policy: Policy) -> str:
    """Where a model lies, as seen from its policy: no report needs the paths of the auditor's machine."""
    return source.replace(f"{policy.source.file.parent}/", "")  # of a model with an adapter there are two


def _changes(policy: Policy) -> list[str]:
    """A loosened limit must be seen on page one, not only in the locked policy."""
    changes = "; ".join(policy.source.overrides)
    return [f"The policy was run with changes from the command line: {changes}."] if changes else []


def _state(
    policy: Policy, models: list[ModelIdentity], datasets: list[PreparedDataset], secret: bytes, waivers: dict[str, str]
) -> RunState:
    digests = {data.name: data_digests(data) for data in datasets}
    inputs = {
        "models": {model.role: model.sha256 for model in models},
        "datasets": {
            data.name: {"merkle_root": data.merkle_root, "files": _keyed(digests[data.name], secret)}
            for data in datasets
        },
        "waivers": waivers or None,
    }
    return RunState(
        started=now(),
        policy=policy.model_dump(mode="json"),
        policy_file=str(policy.source.file),
        policy_sha256=policy.source.sha256,
        preset=policy.source.preset,
        overrides=policy.source.overrides,
        weaker_than_preset=[*weaker_than_preset(policy), *unreached(policy), *_changes(policy)],
        lock=lock(policy, inputs),
        models=models,
        code_sha256=code_sha256(),
        merkle_roots={data.name: data.merkle_root for data in datasets},
        data_digests=digests,
        policy_lines=policy.source.lines,
        blind=blind(),
    )


def _keyed(digests: dict[str, str], secret: bytes) -> dict[str, str]:
    """The lock leaves the evidence folder, where the plain digest of a short file would confirm a guess at it."""
    return {file: keyed_digest(secret, "file", digest) for file, digest in digests.items()}
