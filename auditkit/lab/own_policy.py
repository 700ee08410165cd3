"""A family's own policy, to be changed and written elsewhere: every path absolute, no attack that needs records."""

from __future__ import annotations

from typing import Any

import yaml

from auditkit.lab.calibration_truth import FamilyInfo


def own_sections(info: FamilyInfo) -> dict[str, Any]:
    """The sections of the family's policy.yaml."""
    sections: dict[str, Any] = yaml.safe_load(info.policy_file.read_text("utf-8"))
    folder = info.folder.resolve()
    for data in sections["datasets"]:
        data |= {key: str(folder / data[key]) for key in ("path", "controls") if key in data}
    for model in sections["models"].values():
        model["path"] = str(folder / model["path"])
    sections["attacks"] = [one for one in sections["attacks"] if one["kind"] != "guided_completion"]
    return sections
