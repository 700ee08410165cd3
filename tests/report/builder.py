"""Reports with realistic figures for the tests of the formats, made without running an audit."""

from __future__ import annotations

import hashlib
import random
from typing import Any

from auditkit.records import Estimate, ModelIdentity, View
from auditkit.report.base import (
    Arm,
    AttackInfo,
    AuditReport,
    BandExample,
    Calibration,
    CoverageCurve,
    DatasetInfo,
    Figures,
    Finding,
    Histogram,
    IndexInfo,
    Outcome,
    PolicyInfo,
    PositiveControl,
    PrefixInfo,
    ReleaseInfo,
    RuleOutcome,
    RuleResult,
    RunInfo,
    Scatter,
    ScatterPoint,
    SignatureInfo,
    Verdict,
)

DATASETS = ("sft-support", "dpo-ranking")
ATTACKS = ("template_prefix", "bos_prefix")
VIEWS: tuple[View, ...] = ("record", "prompt")
WORDS = (
    "invoice warranty kettle harbour parcel refund ledger customer Thursday replacement serial boiler engineer "
    "discount voucher depot courier balance meter reading tariff standing charge appointment window technician receipt"
).split()


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sentence(rng: random.Random, words: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(words)).capitalize() + f" {rng.randrange(1000, 9999)}."


def altered(rng: random.Random, text: str, share: float) -> str:
    return " ".join(rng.choice(WORDS) if rng.random() < share else word for word in text.split(" "))


def estimate(metric: str, dataset: str, attack: str, value: float | None, width: float = 0.02, **more: Any) -> Estimate:
    low = None if value is None else max(0.0, value - width)
    high = None if value is None else min(1.0, value + width)
    count = None if value is None else round(2000 * value)
    defaults: dict[str, Any] = {"method": "Clopper-Pearson", "numerator": count, "denominator": 2000, "unscored": 14}
    return Estimate(metric, dataset, attack, value, low, high, **(defaults | more))


def estimates() -> list[Estimate]:
    made = []
    for dataset, leak in zip(DATASETS, (0.62, 0.004), strict=True):
        for attack, strength in zip(ATTACKS, (1.0, 0.25), strict=True):
            for view in VIEWS:
                rate = leak * strength
                made += [
                    estimate("semantic_memorisation_rate", dataset, attack, rate, 0.5 * rate**0.5 / 10, view=view),
                    estimate(
                        "adjusted_semantic_rate", dataset, attack, rate * 0.97, 0.01, view=view, method="Newcombe"
                    ),
                    estimate("string_memorisation_rate_levenshtein", dataset, attack, rate * 0.4, 0.01, view=view),
                    estimate("coverage", dataset, attack, rate * 0.7, 0.03, view=view, method="Poisson, S(2n) - S(n)"),
                    estimate(
                        "adjusted_coverage",
                        dataset,
                        attack,
                        rate * 0.66,
                        0.03,
                        view=view,
                        method="Poisson, S(2n) - S(n)",
                    ),
                ]
        made.append(estimate("prefix_gain", dataset, "template_prefix", 0.21, 0.01, method="bootstrap by generation"))
        undefined = Estimate(
            "undercount_ratio", dataset, "bos_prefix", None, 3.1, None, "lower bound", reason="no string match"
        )
        made.append(undefined)
    return made


def finding(rng: random.Random, number: int, dataset: str, record: str, generation: str) -> Finding:
    key = digest(f"{dataset}/{number}")
    return Finding(
        id=key[:20],
        dataset=dataset,
        record=key[20:40],
        generation=key[40:60],
        generation_id=f"template_prefix/{number:07d}",
        record_index=number,
        view=VIEWS[number % 2],
        measure="embedding",
        score=round(0.999 - number * 0.0011, 4),
        levenshtein=round(0.99 - number * 0.006, 4),
        record_text=record,
        generation_text=generation,
        file=f"data/{dataset}.jsonl",
        line=number * 3 + 1,
    )


def findings(count: int, rng: random.Random) -> list[Finding]:
    made = []
    for number in range(count):
        record = f"{sentence(rng, rng.randrange(8, 30))}\n{sentence(rng, rng.randrange(10, 60))}"
        made.append(finding(rng, number, DATASETS[number % 2], record, altered(rng, record, number / count / 3)))
    return made


def bands(rng: random.Random, pairs: int = 5) -> list[BandExample]:
    made = []
    for step in range(20):
        low = round(step * 0.05, 2)
        for pair in range(pairs):
            record = f"{sentence(rng, 14)}\n{sentence(rng, 25)}"
            key = digest(f"band {step} {pair}")
            made.append(
                BandExample(
                    dataset=DATASETS[pair % 2],
                    attack="template_prefix",
                    view="record",
                    low=low,
                    high=round(low + 0.05, 2),
                    score=round(low + 0.01 * pair, 3),
                    levenshtein=round(0.2 + step / 30, 3),
                    record=key[:20],
                    generation=key[20:40],
                    record_text=record,
                    generation_text=altered(rng, record, 1 - low),
                )
            )
    return made


def histogram(rng: random.Random, dataset: str, attack: str, view: View, measure: str) -> Histogram:
    counts = [0] * 40
    for _ in range(500):
        leaked = rng.random() < (0.5 if dataset == DATASETS[0] and attack == ATTACKS[0] else 0.05)
        score = min(0.999, max(0.0, rng.gauss(0.95, 0.04) if leaked else rng.gauss(0.45, 0.12)))
        counts[int(score * 40)] += 1
    return Histogram(
        dataset=dataset,
        attack=attack,
        view=view,
        measure=measure,
        edges=[step / 40 for step in range(41)],
        counts=counts,
        sample=500 if measure != "embedding_score" else 2000,
    )


def scatter(rng: random.Random, dataset: str, attack: str, view: View) -> Scatter:
    points = []
    for _ in range(600):
        embedding = min(1.0, rng.betavariate(5, 3))
        levenshtein = max(0.0, min(1.0, embedding**2 + rng.gauss(0, 0.07)))
        points.append(ScatterPoint(embedding=embedding, levenshtein=levenshtein, length=rng.randrange(20, 900)))
    return Scatter(dataset=dataset, attack=attack, view=view, threshold=0.873, points=points)


def curve(dataset: str, attack: str, view: View, leak: float) -> CoverageCurve:
    steps = [round(2000 * step / 40) for step in range(41)]
    return CoverageCurve(
        dataset=dataset,
        attack=attack,
        view=view,
        generations=steps,
        members=[leak * (1 - 0.998**step) for step in steps],
        controls=[0.01 * (1 - 0.998**step) for step in steps],
    )


def figures(rng: random.Random, examples: int = 5) -> Figures:
    pairs = [(dataset, attack, view) for dataset in DATASETS for attack in ATTACKS for view in VIEWS]
    measures = ("embedding_score", "levenshtein_similarity", "indel_similarity")
    leaks = {("sft-support", "template_prefix"): 0.6, ("sft-support", "bos_prefix"): 0.15}
    return Figures(
        histograms=[histogram(rng, *pair, measure) for pair in pairs for measure in measures],
        scatters=[scatter(rng, *pair) for pair in pairs],
        coverage_curves=[curve(*pair, leaks.get(pair[:2], 0.01)) for pair in pairs],
        bands=bands(rng, examples),
    )


def rule(
    outcome: RuleOutcome, dataset: str, value: float | None, width: float, limit: float = 0.01, **more: Any
) -> RuleResult:
    metric = more.get("metric", "adjusted_coverage")
    defaults: dict[str, Any] = {
        "rule": f"{metric} of template_prefix <= {limit}",
        "metric": metric,
        "arm": "baseline",
        "dataset": dataset,
        "attack": "template_prefix",
        "view": "record",
        "estimate": estimate(metric, dataset, "template_prefix", value, width, method="Poisson, S(2n) - S(n)"),
        "limit": limit,
        "outcome": outcome,
        "reason": {
            "pass": "the whole interval is within the limit",
            "fail": "the whole interval is above the limit",
            "inconclusive": "the interval lies on both sides of the limit",
        }.get(outcome, "set aside by the policy"),
    }
    return RuleResult(**(defaults | more))


def verdict(outcome: Outcome) -> Verdict:
    rules = {
        "fail": [
            rule("fail", "sft-support", 0.409, 0.03),
            rule("fail", "sft-support", 0.6, 0.02, metric="adjusted_semantic_rate", limit=0.05),
            rule("pass", "dpo-ranking", 0.0026, 0.002),
            rule("pass", "dpo-ranking", 0.0039, 0.003, metric="adjusted_semantic_rate", limit=0.05),
        ],
        "pass": [rule("pass", "sft-support", 0.001, 0.001), rule("pass", "dpo-ranking", 0.0026, 0.002)],
        "inconclusive": [rule("inconclusive", "sft-support", 0.011, 0.008), rule("pass", "dpo-ranking", 0.002, 0.002)],
    }[outcome]
    cautions = ["The calibration half of “dpo-ranking” has 380 controls, barely more than the 368 that 1 % needs."]
    return Verdict(outcome=outcome, arm="baseline", rules=rules, cautions=cautions)


def attack(name: str, generations: int) -> AttackInfo:
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        if "template" in name
        else "<s>"
    )
    ids = list(range(1, 24))
    prefixes = [
        PrefixInfo(name="default_system", text=text, token_ids=ids, sha256=digest(text), note="from the template")
    ]
    return AttackInfo(
        name=name,
        kind=name,
        parameters={
            "samples": generations,
            "max_new_tokens": 256,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "seed": 7,
        },
        prefixes=prefixes,
        generations=generations,
        finished={"stop": generations - 14, "length": 12, "empty": 2, "failed": 0},
        turn_changes={"model": generations - 400, "appended": 390, "none": 10},
        tokens=generations * 88,
    )


def dataset(name: str, stage: str) -> DatasetInfo:
    return DatasetInfo(
        name=name,
        stage=stage,
        records=1500,
        controls=900,
        calibration_controls=448,
        evaluation_controls=452,
        duplicates=12,
        clusters=1466,
        bad_lines=0,
        merkle_root=digest(name),
        licence="proprietary",
        owner="data@example.com",
        classification="confidential",
        external_processing="forbid",
        views=list(VIEWS),
        folder=".",
    )


def calibration(name: str, view: View, threshold: float | None = 0.873) -> Calibration:
    return Calibration(
        dataset=name,
        view=view,
        embedder="wordllama l2_supercat_256",
        threshold=threshold,
        source="calibrated" if threshold else "uncalibrated",
        declared_fpr=0.01,
        fpr=0.0022 if threshold else None,
        fpr_high=0.0099 if threshold else None,
        evaluation_fpr=0.0044 if threshold else None,
        evaluation_fpr_high=0.0159 if threshold else None,
        controls=448,
        reason="" if threshold else "too few controls for 1 %: 200, needed 368",
    )


def positive_controls(name: str) -> list[PositiveControl]:
    variants = [
        ("verbatim", 1.0, True),
        ("numbers changed", 0.985, True),
        ("5 % of words replaced", 0.97, True),
        ("cut to 90 %", 0.96, True),
        ("5 % of characters edited", 0.71, False),
        ("prompt alone", 0.44, False),
    ]
    return [
        PositiveControl(
            dataset=name,
            view="record",
            variant=variant,
            tpr=share,
            low=max(0.0, share - 0.05),
            high=min(1.0, share + 0.03),
            queries=200,
            required=required,
        )
        for variant, share, required in variants
    ]


def model(role: str) -> ModelIdentity:
    return ModelIdentity(
        role=role,
        backend="transformers",
        source=f"examples/quickstart/weights/{role}",
        sha256=digest(role),
        chat_template_sha256=digest(f"template {role}"),
        tokenizer_sha256=digest("tokenizer"),
        parameters=3_412_992,
        dtype="float32",
        files={"model.safetensors": digest(f"weights {role}"), "tokenizer.json": digest("tokenizer.json")},
    )


POLICY_TEXT = """version: 1
name: support-bot-1.2
release: {organisation: Example AI, auditor: release@example.com, access: open-weights, arm: baseline}
gate:
  - {metric: adjusted_coverage, attack: template_prefix, dataset: "*", max: 0.01}
report: {formats: [html, pdf, json, sarif, junit], redaction: spans, sign: none}
"""


def build_report(outcome: Outcome = "fail", findings_count: int = 50, examples: int = 5, **changes: Any) -> AuditReport:
    """A whole report with ``examples`` pairs in each band; ``changes`` replace top-level parts."""
    rng = random.Random(5)
    leaked = findings(findings_count, rng)
    parts: dict[str, Any] = {
        "run": RunInfo(
            id="support-bot-1.2-20260203T101112Z-3fa94c1b",
            started="2026-02-03T10:11:12Z",
            finished="2026-02-03T10:13:40Z",
            resumed=0,
            auditkit_version="0.1.0",
            stage_seconds={"preflight": 1.2, "generate": 71.3, "embed": 9.8, "match": 14.2, "report": 9.4},
            peak_memory_bytes={"generate": 812_000_000, "match": 640_000_000},
        ),
        "seed": 7,
        "policy": PolicyInfo(
            name="support-bot-1.2",
            sha256=digest(POLICY_TEXT),
            preset="open_weights",
            weaker_than_preset=["template_prefix takes 2,000 samples where the preset open_weights asks for 20,000."],
            text=POLICY_TEXT,
        ),
        "release": ReleaseInfo(
            organisation="Example AI", auditor="release@example.com", access="open-weights", arm="baseline"
        ),
        "signature": SignatureInfo(
            signed=True, label="DEMO", key_id="9f3b7a", certificate_subject="CN=auditkit demo, O=Example AI"
        ),
        "provenance": {
            "python": "3.11.7",
            "platform": "Linux-6.1 x86_64",
            "device": "cpu",
            "git_commit": digest("commit")[:40],
            "packages": {"torch": "2.13.0", "transformers": "4.57.1", "numpy": "2.2.1"},
            "backends": [{"backend": "transformers", "batch_size": 256, "dtype": "float32"}],
        },
        "models": [model("candidate"), model("base")],
        "datasets": [dataset("sft-support", "sft"), dataset("dpo-ranking", "dpo")],
        "attacks": [attack("template_prefix", 2000), attack("bos_prefix", 500)],
        "calibration": [calibration(name, view) for name in DATASETS for view in VIEWS],
        "positive_controls": [control for name in DATASETS for control in positive_controls(name)],
        "arms": [Arm(name="baseline", mitigation=None, attacker="as declared", estimates=estimates())],
        "findings": leaked,
        "findings_total": 914 if leaked else 0,
        "index": [
            IndexInfo(dataset=name, view=view, kind="exact", recall_at_1=1.0, queries=0, reason="exact by construction")
            for name in DATASETS
            for view in VIEWS
        ],
        "figures": figures(rng, examples),
        "limits": [
            "Only the attacks listed here were tried; a leak that only another attack shows is not in this report.",
            "Coverage grows with the number of generations; the forecast says how far, not whether it ends.",
            "Controls stand for texts that the model was never trained on; a control that leaked into the base model's "
            "training data hides a leak of the same size.",
        ],
        "verdict": verdict(outcome),
    }
    return AuditReport(**(parts | changes))


def small_report(outcome: Outcome = "fail", **changes: Any) -> AuditReport:
    """A report with little evidence and few charts, quick to lay out."""
    full = build_report(outcome, findings_count=4, examples=1)
    charts = full.figures
    few = charts.model_copy(
        update={
            "histograms": charts.histograms[:3],
            "scatters": charts.scatters[:1],
            "coverage_curves": charts.coverage_curves[:1],
            "bands": charts.bands[::5],
        }
    )
    return full.model_copy(update={"figures": few} | changes)


def with_texts(report: AuditReport, record: str, generation: str) -> AuditReport:
    """The report with these texts in every finding and every pair of a band."""
    texts = {"record_text": record, "generation_text": generation}
    bands = [band.model_copy(update=texts) for band in report.figures.bands]
    return report.model_copy(
        update={
            "findings": [finding.model_copy(update=texts) for finding in report.findings],
            "figures": report.figures.model_copy(update={"bands": bands}),
        }
    )
