"""The hub reader against a loopback server that speaks the hub's wire format, redirects and pages included."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from auditkit.corpus.hub import hub_shards
from auditkit.errors import DataError, MissingExtraError
from tests.corpus.helpers import jsonl_bytes, rows, write

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROGRAM = """
import json, sys
from auditkit.corpus.fields import FieldMap
from auditkit.corpus.read import read_corpus
from auditkit.errors import AuditkitError
for address in sys.argv[1:]:
    try:
        corpus = read_corpus(address, FieldMap("q", "a"), dataset="d", split="member")
        told = {"prompts": [r.prompt for r in corpus.records], "files": corpus.file_digests}
    except AuditkitError as error:
        told = {"error": str(error)}
    print(json.dumps(told))
"""


class Hub(ThreadingHTTPServer):
    """A hub with one dataset, one gated one, and nothing else."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.files = files
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"
        # Large files lie on another host: redirects within the hub's own are followed otherwise.
        self.store = f"http://localhost:{self.server_port}"


class HubHandler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.asked.append(f"{self.command} {url.path}")
        if url.path.startswith("/cdn/"):
            self._bytes(self.server.files[url.path.removeprefix("/cdn/")])
        elif "/org/gated" in url.path:
            self._answer(403, {"X-Error-Code": "GatedRepo"}, b"{}")
        elif "/org/data" not in url.path:
            self._answer(404, {"X-Error-Code": "RepoNotFound"}, b"{}")
        elif COMMIT not in url.path:
            self._answer(404, {"X-Error-Code": "RevisionNotFound"}, b"{}")
        elif "/api/" in url.path:
            self._api(url.path, parse_qs(url.query))
        else:
            self._resolve(url.path.split(f"/resolve/{COMMIT}/")[1])

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        if "/tree/" not in path:
            siblings = [{"rfilename": name} for name in self.server.files]
            return self._json({"id": "org/data", "sha": COMMIT, "siblings": siblings}, {})
        entries = [self._entry(name) for name in self.server.files]
        if "cursor" in query:
            return self._json(entries[2:], {})
        link = f'<{self.server.address}{path}?recursive=True&cursor=2>; rel="next"'
        return self._json(
            [{"type": "directory", "oid": "0" * 40, "size": 0, "path": "data"}, *entries[:2]], {"Link": link}
        )

    def _entry(self, name: str) -> dict[str, Any]:
        data = self.server.files[name]
        entry: dict[str, Any] = {"type": "file", "oid": sha256(data).hexdigest()[:40], "size": len(data), "path": name}
        if name.endswith(".parquet"):
            entry["lfs"] = {"oid": sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        return entry

    def _resolve(self, name: str) -> None:
        data = self.server.files[name]
        known = {"X-Repo-Commit": COMMIT}
        if not name.endswith(".parquet"):
            return self._bytes(data, known | {"ETag": f'"{sha256(data).hexdigest()[:40]}"'})
        linked = {"X-Linked-Etag": f'"{sha256(data).hexdigest()}"', "X-Linked-Size": str(len(data))}
        return self._answer(302, known | linked | {"Location": f"{self.server.store}/cdn/{name}"}, b"")

    def _json(self, value: Any, headers: dict[str, str]) -> None:
        self._answer(200, headers | {"Content-Type": "application/json"}, json.dumps(value).encode())

    def _bytes(self, data: bytes, headers: dict[str, str] | None = None) -> None:
        self._answer(200, headers or {}, data)

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class names it so)
        """Quiet."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    shard = write(tmp_path / "made.parquet", rows(2, start=2)).read_bytes()
    files = {
        "README.md": b"# no data",
        "data/a.jsonl": jsonl_bytes(rows(2)),
        "data/b.parquet": shard,
        "other/c.jsonl": jsonl_bytes(rows(1, start=9)),
        "loader.py": b"raise SystemExit('never run')",
        "tables/d.csv": b"q,a",
    }
    server = Hub(files)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def read_addresses(home: Path, endpoint: str, *addresses: str, offline: bool = False) -> list[dict[str, Any]]:
    """What a fresh process, with a cache of its own, reads at each address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    switches = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": str(int(offline)), "NO_PROXY": "*"}
    environment = kept | switches | {"PYTHONPATH": os.pathsep.join(sys.path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *addresses], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def prompts(*numbers: int) -> list[str]:
    return [f"question {number}?" for number in numbers]


@pytest.mark.slow
def test_a_pinned_dataset_is_downloaded_once_and_read_offline(tmp_path: Path, hub: Hub) -> None:
    whole, folder, file = (f"hub://org/data@{COMMIT}{sub}" for sub in ("", "/data", "/data/a.jsonl"))
    told = read_addresses(tmp_path / "home", hub.address, folder, file, whole, f"hub://org/data@{COMMIT}/tables")
    assert "error" not in told[0], (told[0], hub.asked)
    assert told[0]["prompts"] == prompts(0, 1, 2, 3)
    assert told[0]["files"]["b.parquet"] == sha256(hub.files["data/b.parquet"]).hexdigest()
    assert told[1]["prompts"] == prompts(0, 1)
    assert told[2]["prompts"] == prompts(0, 1, 2, 3, 9)
    assert list(told[2]["files"]) == ["data/a.jsonl", "data/b.parquet", "other/c.jsonl"]
    assert "holds no file that ends in .jsonl" in told[3]["error"]
    assert not [line for line in hub.asked if line.endswith((".py", ".csv"))]

    hub.asked.clear()
    (again,) = read_addresses(tmp_path / "home", hub.address, folder, offline=True)
    assert again == told[0]
    assert hub.asked == []


@pytest.mark.slow
def test_what_cannot_be_had_says_how_to_get_it(tmp_path: Path, hub: Hub) -> None:
    addresses = [f"hub://org/data@{'f' * 40}", f"hub://org/nothing@{COMMIT}", f"hub://org/gated@{COMMIT}"]
    revision, missing, gated = (told["error"] for told in read_addresses(tmp_path / "home", hub.address, *addresses))
    assert f"org/nothing@{COMMIT}: the hub dataset is not on the hub" in missing
    assert "is not on the hub under this name and commit" in revision
    assert "is gated" in gated
    assert "HF_TOKEN" in gated


@pytest.mark.slow
def test_without_a_network_the_error_names_the_download_command(tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    (told,) = read_addresses(tmp_path / "home", nobody, f"hub://org/data@{COMMIT}", offline=True)
    assert "not complete in the local cache, and the hub cannot be reached" in told["error"]
    assert f"hf download org/data --repo-type dataset --revision {COMMIT}" in told["error"]


@pytest.mark.parametrize(
    "address",
    [
        "hub://org/data",
        "hub://org/data@main",
        f"hub://org/data@{COMMIT[:-1]}",
        f"hub://org/data@{COMMIT.upper()}",
        f"hub://data@{COMMIT}",
        f"hub://org/data@{COMMIT}/../../secrets",
        f"hub://org/data@{COMMIT}/a/../../../b",
        f"hub://org/../x@{COMMIT}",
        f"hub://org/data@{COMMIT}/*.jsonl",
        "hub://",
    ],
)
def test_addresses_that_are_not_pinned_or_not_plain_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="is no pinned dataset"):
        hub_shards(address)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"auditkit\[hub\]"):
        hub_shards(f"hub://org/data@{COMMIT}")
