"""Which class a policy's ``kind`` picks: one table a plug-in family, loaded only when asked for.

Third parties add kinds through the entry-point groups ``auditkit.attacks``, ``auditkit.embedders`` and so on.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict

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
