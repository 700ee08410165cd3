"""Which proxy a service is asked through."""

from __future__ import annotations

import pytest

from auditkit.remote.bounded import transport_settings

PROXY = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("named", "address", "through"),
    [
        ("", "https://api.example.com/v1", True),
        ("other.example.com, example.org", "https://api.example.com/v1", True),
        ("api.example.com", "https://api.example.com/v1", False),
        (".example.com", "https://api.example.com/v1", False),
        ("localhost,example.com", "https://api.example.com:8443/v1", False),
        ("api.example.com:8443", "https://api.example.com:8443/v1", False),
        ("api.example.com:8443", "https://api.example.com/v1", True),
        ("*", "https://api.example.com/v1", False),
        ("", "http://127.0.0.1:8000/v1", False),
        ("", "http://localhost:8000/v1", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_the_environments_proxy_is_used_but_for_whom_it_excepts(
    monkeypatch: pytest.MonkeyPatch, variable: str, named: str, address: str, through: bool
) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv(variable, named)
    assert set(transport_settings(5, address)["mounts"]) == ({"http://", "https://"} if through else set())
