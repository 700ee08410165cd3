"""Which generators there are."""

from __future__ import annotations

from typing import Literal

from auditkit.lab.generators.base import Generator
from auditkit.lab.generators.maths import Maths
from auditkit.lab.generators.plain import Plain
from auditkit.lab.generators.preference import Preference
from auditkit.lab.generators.sums import Sums
from auditkit.lab.generators.support import Support

GeneratorName = Literal["support", "maths", "sums", "preference", "plain"]
_GENERATORS: dict[str, Generator] = {
    "support": Support(),
    "maths": Maths(),
    "sums": Sums(),
    "preference": Preference(),
    "plain": Plain(),
}


def generator(name: GeneratorName) -> Generator:
    """The generator of this name."""
    return _GENERATORS[name]
