"""A registration is read only as it was signed, and one statement cannot pass for another kind."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.signing import purge, registration, statements
from auditkit.signing.base import SignerFacts
from auditkit.signing.keys import SigningKeys
from auditkit.signing.registration import (
    RegisteredDataset,
    RegisteredModel,
    RegisteredPolicy,
    RegisteredRule,
    RegistrationPredicate,
)


def predicate(keys: SigningKeys, limit: float = 0.05, **changes: object) -> RegistrationPredicate:
    rule = RegisteredRule(
        metric="coverage", attack="*", dataset="*", view="record", limit=limit, words=f"coverage at most {limit:g}"
    )
    facts = {
        "registered": "2026-02-01T09:00:00.000Z",
        "auditkit_version": "0.1.0",
        "policy": RegisteredPolicy(name="bot", sha256="a" * 64),
        "gate": (rule,),
        "models": (RegisteredModel(role="candidate", sha256=None),),
        "datasets": (RegisteredDataset(name="sft", merkle_root="b" * 64),),
        "earlier_runs": None,
        "ledger_sha256": "",
        "previous_sha256": None,
        "signer": SignerFacts(**keys.signer_facts),
    }
    return RegistrationPredicate.model_validate({**facts, **changes})


@pytest.fixture(scope="module")
def sealed(keys: SigningKeys) -> bytes:
    return registration.seal(predicate(keys), "policy.yaml", keys)


def test_what_is_sealed_is_what_is_read(sealed: bytes, keys: SigningKeys) -> None:
    found = registration.read(sealed)
    assert found.predicate == predicate(keys)
    assert found.moment.isoformat() == "2026-02-01T09:00:00+00:00"


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_edit_is_refused(sealed: bytes, data: st.DataObject) -> None:
    """Bytes replaced, inserted or cut out anywhere: never accepted, never a crash."""
    start = data.draw(st.integers(0, len(sealed)))
    end = data.draw(st.integers(start, min(len(sealed), start + 8)))
    changed = sealed[:start] + data.draw(st.binary(max_size=8)) + sealed[end:]
    if changed == sealed:
        assert registration.read(changed)
    else:
        with pytest.raises(ValueError):
            registration.read(changed)


@given(limit=st.floats(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_limit_loses_no_digit(keys: SigningKeys, limit: float) -> None:
    found = registration.read(registration.seal(predicate(keys, limit), "policy.yaml", keys))
    assert found.predicate.gate[0].limit == limit


def test_a_signature_by_another_key_than_the_one_named_is_refused(keys: SigningKeys, other_keys: SigningKeys) -> None:
    with pytest.raises(ValueError, match="no valid signature"):
        registration.read(registration.seal(predicate(keys), "policy.yaml", other_keys))


def test_a_subject_that_is_another_policy_is_refused(sealed: bytes, keys: SigningKeys) -> None:
    _, statement = statements.opened(sealed, registration.RegistrationStatement)
    raw = statement.model_dump(mode="json", by_alias=True)
    raw["subject"][0]["digest"]["sha256"] = "c" * 64
    forged = registration.RegistrationStatement.model_validate(raw)
    with pytest.raises(ValueError, match="contradicts itself"):
        registration.read(statements.seal(forged, keys.dsse_signer))


def test_an_unsigned_one_is_refused(keys: SigningKeys) -> None:
    _, statement = statements.opened(
        registration.seal(predicate(keys), "policy.yaml", keys), registration.RegistrationStatement
    )
    with pytest.raises(ValueError, match="no valid signature"):
        registration.read(statements.seal(statement, None))


def test_no_statement_passes_for_one_of_another_kind(sealed: bytes) -> None:
    with pytest.raises(ValueError):
        statements.opened(sealed, purge.PurgeStatement)


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "2026-02-01",
        "2026-13-41T09:00:00Z",
        "2026-02-01T09:00:00+02:00",
        "2026-02-01T09:00:00Z\n",
    ],
)
def test_a_time_that_is_none_is_refused(keys: SigningKeys, moment: str) -> None:
    with pytest.raises(ValueError):
        predicate(keys, registered=moment)
