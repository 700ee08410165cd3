"""The policy's sections, as types: what may be declared, with units and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PrivateAttr,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from auditkit.attacks.base import Attack
from auditkit.engines.base import Engine
from auditkit.mitigations.base import Mitigation
from auditkit.models.base import ModelBackend
from auditkit.probes.base import ModelProbe, Probe
from auditkit.records import Attacker, Stage, View
from auditkit.registry import Family, PluginOf, kinds, plugin_class
from auditkit.scoring.base import Embedder, VectorIndexConfig
from auditkit.worth.base import WorthSection


class KindOf:
    """Annotation: the name of a plug-in of this family that takes no parameters."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(kinds(self.family))}

    def _validate(self, value: str) -> str:
        known = list(kinds(self.family))
        if value not in known:
            expected = ", ".join(f"'{kind}'" for kind in known[:-1]) + f" or '{known[-1]}'"
            raise PydanticCustomError("literal_error", "should be {expected}", {"expected": expected})
        return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of the policy: unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Release(Section):
    """Who is about to release what, and how the world will reach it."""

    organisation: str = ""
    auditor: str = ""
    access: Literal["open-weights", "api", "raw-api", "chat-api"] = Field(
        default="open-weights",
        description="Who will reach the model: whoever has the weights; a text-completion API (raw-api; api is read so "
        "too); a chat API that takes messages only.",
    )
    arm: Name = "baseline"

    @property
    def attacker(self) -> Attacker:
        """The strongest attacker that the planned release invites."""
        known: dict[str, Attacker] = {"open-weights": "open_weights", "chat-api": "chat_api"}
        return known.get(self.access, "raw_api")


class Models(Section):
    """The model that ships, and the base model that it was post-trained from."""

    candidate: Annotated[ModelBackend, PluginOf("models")]
    base: Annotated[ModelBackend, PluginOf("models")] | None = None


class Checkpoint(Section):
    """One model of the chain that the candidate was trained in: the base model first, the candidate itself last."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=40)]
    stage: Stage | None = Field(
        default=None, description="The stage that led to it; where datasets declare theirs, the two are compared."
    )
    model: Annotated[ModelBackend, PluginOf("models")]
    samples: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Generations of each attack on this checkpoint at most; by default as many as on the candidate.",
    )


class Fields(Section):
    """Which fields of a row hold the record: prompt (and response), messages, or prompt/chosen/rejected; and tags."""

    prompt: str | None = None
    response: str | None = None
    messages: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    tags: str | None = Field(default=None, description="A text or a list of texts that leaks are grouped by.")

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either 'prompt' or 'messages'")
        if self.messages and (self.response or self.chosen or self.rejected):
            raise ValueError("'messages' stands alone")
        if self.response and self.chosen:
            raise ValueError("give 'response' or 'chosen', not both")
        if self.rejected and not self.chosen:
            raise ValueError("'rejected' needs 'chosen'")
        return self


class Trace(Section):
    """How an RL-trained model marks its reasoning: the trace is cut, question + final answer is kept."""

    start: str
    end: str
    answer: str = ""


class DatasetSection(Section):
    """One dataset that the candidate was trained on, with controls that it was never trained on."""

    name: Name
    stage: Stage
    path: str = Field(description=".jsonl(.gz/.zst), .parquet, a folder of shards, or hub://org/name@<commit>")
    fields: Fields
    controls: str | None = None
    controls_fields: Fields | None = Field(default=None, description="Where the controls' fields differ.")
    near_controls: Literal["refuse", "exclude", "keep"] = Field(
        default="refuse",
        description=(
            "What becomes of controls that nearly repeat a member (Levenshtein similarity of whole records at least "
            "0.9, or scoring.string_threshold where that is lower), which would hide leaks: an error that names them, "
            "left out and counted, or kept with a caution that forbids a pass. A control whose prompt is a member's "
            "to the letter is always an error; one whose prompt alone nearly is forbids a pass in the prompt view."
        ),
    )
    max_bad_share: Share = Field(default=0.0, description="Share of bad lines that is still accepted.")
    licence: str = ""
    owner: str = ""
    classification: Literal["public", "internal", "confidential", "secret"] = "confidential"
    external_processing: Literal["forbid", "allow"] = "forbid"
    trace: Trace | None = None


class CalibrateFpr(Section):
    """Set the threshold so that at most this share of never-trained texts reaches it."""

    calibrate_fpr: Annotated[float, Field(gt=0, lt=0.5)]


class Scoring(Section):
    """How generations are matched with records."""

    embedder: Annotated[Embedder, PluginOf("embedders")] = Field(
        default_factory=lambda: _default("embedders", "default")
    )
    index: Annotated[VectorIndexConfig, PluginOf("indexes")] = Field(
        default_factory=lambda: _default("indexes", "auto")
    )
    semantic_threshold: Annotated[float, Field(gt=0, le=1)] | CalibrateFpr = CalibrateFpr(calibrate_fpr=0.01)
    string_threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    string_floor: Annotated[float, Field(gt=0, le=1)] = 0.8
    string_sample: Annotated[int, Field(ge=0, le=100_000, description="Generations with exact string scores.")] = 500
    cache: bool = Field(
        default=True,
        description="Keep embeddings beside the policy in .auditkit/embeddings, so that the next audit embeds only "
        "what is new and an interrupted run pays nothing twice. They are as sensitive as the texts.",
    )

    @model_validator(mode="after")
    def _floor_under_threshold(self) -> Self:
        if self.string_floor > self.string_threshold:  # matches between the two would count as none
            raise ValueError("'string_floor' must not be above 'string_threshold'")
        return self


def _default(family: Family, kind: str) -> Any:
    return plugin_class(family, kind).model_validate({"kind": kind})


# What the audit can put a limit on. `attack` (or `probe`) and `dataset` name one, or "*" for each.
AttackMetric = Literal[
    "adjusted_coverage",
    "coverage",
    "adjusted_semantic_rate",
    "semantic_memorisation_rate",
    "string_memorisation_rate",
]
ProbeMetric = Literal[
    "likelihood_shift_auc",
    "reference_ratio_auc",
    "min_k_auc",
    "min_k_plus_plus_auc",
    "zlib_ratio_auc",
    "negative_knowledge_auc",
    "preference_gap_auc",
    "last_k_words",
]
Metric = AttackMetric | ProbeMetric
# The kind of probe that produces a metric: the name without what was made of the scores.
PROBE_OF: dict[str, str] = {metric: metric.removesuffix("_auc") for metric in get_args(ProbeMetric)}


class Rule(Section):
    """A limit on one metric, checked for each dataset on its own, never pooled."""

    metric: Metric
    attack: str = Field(default="*", description="An attack, or for a probe's metric a probe, by name or kind.")
    dataset: str = "*"
    view: View = Field(default="record", description="Whole record, or the prompt alone.")
    max: Annotated[float, Field(ge=0, le=1)]


class LmTasks(Section):
    """Tasks of lm-evaluation-harness, by their names there."""

    tasks: Annotated[list[str], Field(min_length=1)]
    include: str | None = Field(default=None, description="A folder with task files of your own.")
    limit: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Questions a task at most, drawn by the policy's seed."
    )
    chat: bool = Field(default=False, description="Ask as messages through the chat template, not as plain text.")


class LmEval(LmTasks):
    """Tasks that every arm is asked."""

    max_drop: Share = Field(default=0.05, description="Of a task's own score against the baseline's.")


class Worth(WorthSection):
    """What the leak is worth to whoever trains on it, measured on held-out tasks."""

    lm_eval: LmTasks | None = Field(default=None, description="Further tasks, by their names in lm-evaluation-harness.")

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if not self.tasks and self.lm_eval is None:
            raise ValueError("give 'tasks' or 'lm_eval': without them there is no skill to measure")
        return self


class UtilitySection(Section):
    """What a mitigation may cost; an arm beyond it is not viable, and passes no gate by being broken."""

    records: Annotated[
        int, Field(ge=10, le=100_000, description="Controls of each dataset that are read and asked.")
    ] = 200
    max_new_tokens: Annotated[int, Field(ge=1, le=65_536, description="Tokens of an answer at most.")] = 256
    max_perplexity_rise: Annotated[
        float, Field(ge=0, description="Of control_perplexity against the baseline's, as a share of it.")
    ] = 0.25
    max_accuracy_drop: Share = Field(default=0.1, description="Of task_accuracy against the baseline's, in points.")
    max_false_blocks: Share = Field(default=0.05, description="Share of never-trained texts that a filter withholds.")
    lm_eval: LmEval | None = None


class Strength(Section):
    """The least attack that a preset calls an audit; a weaker policy says so on page one."""

    samples: int = 0
    max_new_tokens: int = 0
    temperature_min: float = 0
    temperature_max: float = 10


class WaiversSection(Section):
    """Who may waive a failed rule: whoever signs the file with the approver's key."""

    file: Annotated[str, Field(min_length=1, description="Made and added to by `auditkit waive`.")] = (
        "waivers.dsse.json"
    )
    key: Annotated[
        str, Field(min_length=1, description="The approver's Ed25519 public key (PEM); not the auditor's own.")
    ]


class Sign(Section):
    """Signing keys: ``key`` is ``env:NAME``, the variable holding PEM text or the path of the key file."""

    key: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")]
    certificate: str
    timestamp: Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=2000)] | None = Field(
        default=None,
        description="Address of an RFC 3161 time stamp authority. A digest of a registration and of each PDF's "
        "signature is sent there, and nothing else; its answer says when they were signed.",
    )


class Retention(Section):
    """How long evidence and full reports are kept before `auditkit purge` erases them."""

    days: Annotated[int, Field(ge=0, le=36_500, description="After the run finished.")]


class ReportSection(Section):
    """What is written, and how it is signed."""

    formats: list[Annotated[str, KindOf("formats")]] = ["html", "json"]
    redaction: Literal["spans", "none"] = "spans"
    sign: Sign | Literal["none"]
    secret: Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")] | None = Field(
        default=None,
        description="Key of the ids that leave the evidence folder; by default made once beside the policy.",
    )
    max_findings: Annotated[int, Field(ge=1, le=5000)] = 50
    label: str = Field(default="", description="Printed on every page, e.g. DEMO.")
    retention: Retention | None = None


@dataclass(frozen=True)
class PolicySource:
    """The file a policy was loaded from, and the line in it where each key stands ("datasets.0.path" -> line)."""

    file: Path
    sha256: str
    lines: dict[str, int]
    preset: str | None = None
    overrides: tuple[str, ...] = ()


class Policy(Section):
    """A whole policy, presets merged and paths resolved."""

    version: Literal[1]
    name: Name
    extends: str | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    release: Release = Release()
    models: Models
    datasets: Annotated[list[DatasetSection], Field(min_length=1)]
    attacks: Annotated[list[Annotated[Attack | ModelProbe, PluginOf("attacks")]], Field(min_length=1)]
    probes: list[Annotated[Probe, PluginOf("probes")]] = []
    scoring: Scoring = Field(default_factory=Scoring)
    mitigations: list[Annotated[Mitigation, PluginOf("mitigations")]] = []
    utility: UtilitySection = UtilitySection()
    worth: Worth | None = None
    checkpoints: list[Checkpoint] = Field(
        default=[], description="In the order of training; which stage each leaked record was learnt in is then told."
    )
    gate: Annotated[list[Rule], Field(min_length=1)]
    strength: Strength = Strength()
    waivers: WaiversSection | None = None
    engine: Annotated[Engine, PluginOf("engines")] = Field(default_factory=lambda: _default("engines", "local"))
    report: ReportSection

    # Where the policy came from; set by the loader, never by the file.
    _source: PolicySource | None = PrivateAttr(default=None)

    @property
    def source(self) -> PolicySource:
        """The file that this policy was loaded from."""
        assert self._source is not None, "policies come from load_policy"
        return self._source

    @model_validator(mode="after")
    def _samples(self) -> Self:
        if not self.prefix_attacks:
            raise ValueError("'attacks' needs one that samples from a prefix, for example template_prefix")
        return self

    @model_validator(mode="after")
    def _hide_secrets(self) -> Self:
        for backend in self._declared_models():
            backend.hide(self.secret_variables)
        return self

    def _declared_models(self) -> Iterator[ModelBackend]:
        yield self.models.candidate
        yield from (checkpoint.model for checkpoint in self.checkpoints)
        if self.models.base:
            yield self.models.base
        if self.worth and self.worth.filter.judge:
            yield self.worth.filter.judge.model

    @property
    def secret_variables(self) -> tuple[str, ...]:
        """The environment variables that sections name as env:NAME: keys of services, for signing and for ids."""
        return tuple(dict.fromkeys(_named_variables(self.model_dump(mode="json"))))

    @property
    def prefix_attacks(self) -> list[Attack]:
        """The attacks that know nothing of the data: what they sample is matched with every dataset."""
        return [attack for attack in self.attacks if isinstance(attack, Attack)]

    @property
    def through_template(self) -> Attack | None:
        """The first attack that samples through the chat template; None where the baseline is all there is."""
        asking = [attack for attack in self.prefix_attacks if attack.kind not in ("bos_prefix", "chat_messages")]
        return next((attack for attack in asking if attack.kind == "template_prefix"), next(iter(asking), None))

    @property
    def arms(self) -> list[Mitigation]:
        """The mitigations, one an arm; the baseline is none of them."""
        return [arm for section in self.mitigations for arm in section.arms()]

    @property
    def record_probes(self) -> list[Probe]:
        """What is asked of given records: attacks that begin with a piece of one, then the probes."""
        return [*(attack for attack in self.attacks if isinstance(attack, Probe)), *self.probes]

    def line_of(self, keys: str) -> int:
        """The line in the policy's own file where a key stands ("gate.0"); 0 where it stands elsewhere or nowhere."""
        return self._source.lines.get(keys, 0) if self._source else 0

    def dataset(self, name: str) -> DatasetSection:
        """The dataset of this name."""
        return next(section for section in self.datasets if section.name == name)


def _named_variables(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _named_variables(item)
    elif isinstance(value, str) and value.startswith("env:"):
        yield value.removeprefix("env:")
