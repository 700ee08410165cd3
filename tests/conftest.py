"""What every test may rely on: no network for models, few threads, fast hypothesis settings in CI."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from hypothesis import settings

# A deadline fails tests on a busy machine for no fault of the code.
settings.register_profile("auditkit", deadline=None)
settings.load_profile("auditkit")
