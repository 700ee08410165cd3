"""These tests are collected only where there is a CUDA device: ``make test-gpu``."""

from __future__ import annotations

from auditkit.scoring.vectors.device_search import accelerator

collect_ignore_glob = [] if accelerator() else ["test_*.py"]
