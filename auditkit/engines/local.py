"""The engine that needs nothing: this process does the work."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from auditkit.engines.base import Cluster, Engine


class LocalEngine(Engine):
    """This process, one unit after the other; models and searches use the devices and cores of this machine."""

    kind: Literal["local"]

    def running(self, hidden: Sequence[str] = ()) -> AbstractContextManager[Cluster | None]:  # noqa: ARG002
        return nullcontext(None)
