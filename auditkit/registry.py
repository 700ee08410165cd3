"""Which class a policy's ``kind`` picks: one table a plug-in family, loaded only when asked for.

Third parties add kinds through the entry-point groups ``auditkit.attacks``, ``auditkit.embedders`` and so on.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from auditkit.errors import AuditkitError

Family = Literal["models", "attacks", "probes", "embedders", "indexes", "mitigations", "formats", "engines"]
FAMILIES: tuple[Family, ...] = get_args(Family)


class Plugin(BaseModel):
    """A policy section and its implementation in one: the fields are the parameters, ``kind`` picks the class."""

    model_config = ConfigDict(frozen=True, extra="forbid")


BUILT_IN: dict[Family, dict[str, str]] = {
    "models": {
        "transformers": "auditkit.models.transformers_backend:TransformersBackend",
        "vllm": "auditkit.models.vllm_backend:VllmBackend",
        "scripted": "auditkit.models.scripted:ScriptedBackend",
        "openai_compatible": "auditkit.models.openai_backend:OpenAICompatibleBackend",
        "gemini": "auditkit.models.gemini_backend:GeminiBackend",
    },
    "attacks": {
        "template_prefix": "auditkit.attacks.template_prefix:TemplatePrefix",
        "bos_prefix": "auditkit.attacks.bos_prefix:BosPrefix",
        "chat_messages": "auditkit.attacks.chat_messages:ChatMessages",
        "literal_prefixes": "auditkit.attacks.literal_prefixes:LiteralPrefixes",
        "segmented_prefix": "auditkit.attacks.segmented_prefix:SegmentedPrefix",
        "styled_prefix": "auditkit.attacks.styled_prefix:StyledPrefix",
        "guided_completion": "auditkit.attacks.guided_completion:GuidedCompletion",
    },
    "probes": {
        "likelihood_shift": "auditkit.probes.likelihood_shift:LikelihoodShift",
        "extraction_probability": "auditkit.probes.extraction_probability:ExtractionProbability",
        "min_k": "auditkit.probes.min_k:MinK",
        "min_k_plus_plus": "auditkit.probes.min_k:MinKPlusPlus",
        "zlib_ratio": "auditkit.probes.ratios:ZlibRatio",
        "reference_ratio": "auditkit.probes.ratios:ReferenceRatio",
        "negative_knowledge": "auditkit.probes.preference:NegativeKnowledge",
        "preference_gap": "auditkit.probes.preference:PreferenceGap",
        "canary_exposure": "auditkit.probes.canaries:CanaryExposure",
        "last_k_words": "auditkit.probes.canaries:LastKWords",
        "peakedness": "auditkit.probes.peakedness:Peakedness",
        "gradient_alignment": "auditkit.probes.gradient_alignment:GradientAlignment",
    },
    "embedders": {
        "default": "auditkit.scoring.embedders.wordllama_embedder:DefaultEmbedder",
        "sentence_transformers": "auditkit.scoring.embedders.sentence_embedder:SentenceTransformersEmbedder",
        "gemini": "auditkit.scoring.embedders.gemini_embedder:GeminiEmbedder",
    },
    "indexes": {
        "auto": "auditkit.scoring.vectors.index:AutoIndex",
        "exact": "auditkit.scoring.vectors.index:ExactIndex",
        "hnsw": "auditkit.scoring.vectors.hnsw_index:HnswIndex",
    },
    "mitigations": {
        "template_randomisation": "auditkit.mitigations.template_randomisation:TemplateRandomisation",
        "template_enforcement": "auditkit.mitigations.template_enforcement:TemplateEnforcement",
        "system_prompt": "auditkit.mitigations.system_prompt:SystemPrompt",
        "sampling_limits": "auditkit.mitigations.sampling_limits:SamplingLimits",
        "output_filter": "auditkit.mitigations.output_filter:OutputFilter",
        "goldfish_loss": "auditkit.mitigations.goldfish_loss:GoldfishLoss",
        "prompt_loss_mask": "auditkit.mitigations.prompt_loss_mask:PromptLossMask",
        "deduplication": "auditkit.mitigations.deduplication:Deduplication",
        "lora": "auditkit.mitigations.lora:Lora",
        "dp_sgd": "auditkit.mitigations.dp_sgd:DpSgd",
        "unlearning": "auditkit.mitigations.unlearning:Unlearning",
        "base_interpolation": "auditkit.mitigations.base_interpolation:BaseInterpolation",
        "quantisation": "auditkit.mitigations.quantisation:Quantisation",
        "checkpoint": "auditkit.mitigations.checkpoint:Checkpoint",
    },
    "formats": {
        "json": "auditkit.report.json_format:JsonFormat",
        "html": "auditkit.report.html_format:HtmlFormat",
        "pdf": "auditkit.report.pdf_format:PdfFormat",
        "sarif": "auditkit.report.sarif_format:SarifFormat",
        "junit": "auditkit.report.junit_format:JunitFormat",
        "cyclonedx": "auditkit.report.cyclonedx_format:CyclonedxFormat",
        "markdown": "auditkit.report.markdown_format:MarkdownFormat",
    },
    "engines": {
        "local": "auditkit.engines.local:LocalEngine",
        "ray": "auditkit.engines.ray_engine:RayEngine",
    },
}

# The policy key that names the class: `backend: transformers` reads better than `kind: transformers`.
DISCRIMINATOR: dict[Family, str] = {**dict.fromkeys(FAMILIES, "kind"), "models": "backend"}


@cache
def kinds(family: Family) -> dict[str, str]:
    """Every kind of a family with the ``module:Class`` behind it, entry points included."""
    found = {point.name: point.value for point in entry_points(group=f"auditkit.{family}")}
    return {**found, **BUILT_IN[family]}


@cache
def plugin_class(family: Family, kind: str) -> type[Any]:
    """The class behind a kind.

    Raises:
        AuditkitError: no such kind in the family.
    """
    try:
        module, _, name = kinds(family)[kind].partition(":")
    except KeyError:
        raise AuditkitError(f"no {family} plug-in is called {kind!r}", f"one of: {', '.join(kinds(family))}") from None
    loaded: type[Any] = getattr(import_module(module), name)
    return loaded


class PluginOf:
    """Annotation: a section whose ``kind`` (``backend`` for models) picks a class of this family."""

    def __init__(self, family: Family) -> None:
        self.family = family

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda v: v.model_dump(mode="json")),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        choices = [found for kind in sorted(kinds(self.family)) if (found := self._importable(kind)) is not None]
        # Through the handler, so that what plug-ins refer to is defined once, at the root of the schema.
        return {"oneOf": [handler(choice.__pydantic_core_schema__) for choice in choices]} if choices else {"not": {}}

    def _validate(self, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, Plugin):
            return value
        key = DISCRIMINATOR[self.family]
        known = sorted(kinds(self.family))
        if not isinstance(value, dict):
            raise PydanticCustomError("plugin_type", "should be a mapping with {key}", {"key": key})
        kind = value.get(key)
        context = {"family": self.family, "key": key, "given": str(kind), "known": known}
        if kind not in known:
            raise PydanticCustomError("plugin_kind", "unknown {key} {given} in {family}", context)
        found = self._importable(kind)
        if found is None:
            raise PydanticCustomError("plugin_broken", "the {key} {given} cannot be imported", context)
        # A file is read strictly: the text "1000" is no number. JSON mode still takes a list for a tuple, as YAML must.
        if info.mode == "json":
            return found.model_validate_json(json.dumps(value), strict=True)
        return found.model_validate(value)

    def _importable(self, kind: str) -> type[Plugin] | None:
        try:
            return plugin_class(self.family, kind)
        except (ImportError, AttributeError):  # somebody else's plug-in, installed badly
            return None
