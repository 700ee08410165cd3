from __future__ import annotations

from auditkit.resources import resource_folder


def test_templates_and_policies_are_found() -> None:
    assert (resource_folder("templates") / "report" / "document.html.j2").is_file()
    assert resource_folder("policies").is_dir()
