"""``auditkit schema``: the JSON Schema of a policy, for editors and other programs."""

from __future__ import annotations

import json
from typing import Any

import click

from auditkit.policy.schema import Policy

DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command()
def schema() -> None:
    """Print the JSON Schema of policy.yaml (Draft 2020-12), every installed plug-in's parameters included.

    \b
    Example:
      auditkit schema > policy.schema.json
      # then, as the first line of a policy, for editors that know it:
      # yaml-language-server: $schema=policy.schema.json
    """
    click.echo(json.dumps(policy_schema(), indent=2))


def policy_schema() -> dict[str, Any]:
    """The schema of a policy *file*: what ``extends`` supplies may be left out, and a lock file is a policy too."""
    found = Policy.model_json_schema()
    required = found.pop("required")
    found["properties"]["locked"] = {"type": "object", "description": "Written by a run: digests of what it read."}
    return {
        "$schema": DIALECT,
        **found,
        "title": "auditkit policy",
        "if": {"required": ["extends"]},
        "else": {"required": required},
    }
