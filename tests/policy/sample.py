"""A policy without a mistake, and what is wrong with others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditkit.errors import PolicyError, Problem
from auditkit.policy.load import load_policy

Write = Callable[..., Path]
SHA = "0123456789abcdef0123456789abcdef01234567"
GOOD = """\
version: 1
name: support-bot-1.2
release: {organisation: Example AI, access: open-weights, arm: baseline}
models:
  candidate: {backend: scripted, path: script.jsonl}
datasets:
  - name: sft
    stage: sft
    path: data/members.jsonl
    fields: {prompt: question, response: answer}
    controls: data/controls.jsonl
    external_processing: forbid
attacks:
  - {kind: template_prefix, samples: 200, prefix: auto}
  - {kind: bos_prefix, samples: 20}
scoring:
  embedder: {kind: default}
  semantic_threshold: {calibrate_fpr: 0.01}
  string_sample: 100
gate:
  - {metric: adjusted_coverage, attack: template_prefix, dataset: "*", max: 0.01}
report: {formats: [html, json], sign: {key: env:AUDITKIT_KEY, certificate: cert.pem}}
"""


def problems(path: Path, *overrides: str) -> tuple[Problem, ...]:
    """Everything that is wrong with a policy that must not load."""
    with pytest.raises(PolicyError) as caught:
        load_policy(path, overrides)
    return caught.value.problems


def line_of(text: str, part: str) -> int:
    """The first line that holds this text."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)
