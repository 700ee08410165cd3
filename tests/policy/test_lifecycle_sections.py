"""What a policy may say of time stamps and retention."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from auditkit.policy.schema import Retention, Sign


def _sign(timestamp: str) -> Sign:
    return Sign.model_validate({"key": "env:KEY", "certificate": "c.pem", "timestamp": timestamp})


@pytest.mark.parametrize("address", ["https://tsa.example.com/tsr", "http://127.0.0.1:8080/tsa"])
def test_an_address_of_an_authority(address: str) -> None:
    assert _sign(address).timestamp == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "tsa.example.com",
        "ftp://tsa.example.com",
        "file:///etc/passwd",
        "https://user:secret@tsa.example.com",
        "https://a b",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused(address: str) -> None:
    with pytest.raises(ValidationError):
        _sign(address)


@pytest.mark.parametrize("days", [0, 365, 36_500])
def test_a_retention_period(days: int) -> None:
    assert Retention.model_validate({"days": days}).days == days


@pytest.mark.parametrize("days", [-1, 36_501, "ten", None])
def test_what_is_no_period_is_refused(days: object) -> None:
    with pytest.raises(ValidationError):
        Retention.model_validate({"days": days})
