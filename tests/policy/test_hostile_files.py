"""What comes in as a policy: pipes, devices, endless files, YAML that expands, runs or surprises, names with tricks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from auditkit.errors import PolicyError, Problem
from auditkit.policy.load import load_policy
from auditkit.policy.yaml_source import read_value
from tests.policy.sample import GOOD, Write


@contextmanager
def at_once(seconds: float = 5) -> Iterator[None]:
    started = time.perf_counter()
    yield
    assert time.perf_counter() - started < seconds


def refused(path: Path) -> tuple[Problem, ...]:
    with at_once(), pytest.raises(PolicyError) as caught:
        load_policy(path)
    return caught.value.problems


class TestWhatIsNoFile:
    def test_a_pipe_is_never_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "policy.yaml")
        assert "pipe or a device" in refused(tmp_path / "policy.yaml")[0].message

    @pytest.mark.parametrize("device", ["/dev/zero", "/dev/tty", "/dev/stdin"])
    def test_a_device_is_not_read(self, device: str) -> None:
        assert "cannot be read" in refused(Path(device))[0].message

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        (tmp_path / "policy.yaml").symlink_to(tmp_path / "other.yaml")
        (tmp_path / "other.yaml").symlink_to(tmp_path / "policy.yaml")
        assert "cannot be read" in refused(tmp_path / "policy.yaml")[0].message

    @pytest.mark.parametrize("size", [100 << 20, 1 << 42])
    def test_an_endless_file_costs_nothing(self, tmp_path: Path, size: int) -> None:
        with (tmp_path / "policy.yaml").open("wb") as file:
            file.truncate(size)
        assert "more than the 1,000,000 bytes" in refused(tmp_path / "policy.yaml")[0].message

    def test_one_that_may_not_be_read(self, tmp_path: Path) -> None:
        """As another user, where the tests run as one whom no permission stops."""
        path = tmp_path / "policy.yaml"
        path.write_text(GOOD)
        path.chmod(0)
        code = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from auditkit.policy.load import load_policy\n"
            "if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
            "try: load_policy(Path(sys.argv[1]))\n"
            "except Exception as error: print(type(error).__name__, error)\n"
        )
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
        assert "PolicyError" in done.stdout and "Permission denied" in done.stdout

    @pytest.mark.parametrize("name", ["preset.yaml", "/dev/zero", "folder.yaml", "x" * 300 + ".yaml", '"a\\0.yaml"'])
    def test_what_it_extends_is_a_file_too(self, write: Write, folder: Path, name: str) -> None:
        os.mkfifo(folder / "preset.yaml")
        (folder / "folder.yaml").mkdir()
        found = refused(write(f"extends: {name}\n{GOOD}"))
        assert any("`extends`: there is no file" in one.message for one in found)

    @pytest.mark.parametrize("field", ["path", "controls"])
    @pytest.mark.parametrize("kind", ["pipe", "loop"])
    def test_data_that_is_no_file(self, write: Write, folder: Path, field: str, kind: str) -> None:
        if kind == "pipe":
            os.mkfifo(folder / "odd.jsonl")
        else:
            (folder / "odd.jsonl").symlink_to(folder / "odd.jsonl")
        named = {"path": "data/members.jsonl", "controls": "data/controls.jsonl"}[field]
        found = refused(write(GOOD.replace(named, "odd.jsonl")))
        assert any("odd.jsonl" in f"{one.message}{one.file}" and one.line for one in found)


class TestYaml:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("x: !!python/object/apply:os.system [touch pwned]", "tag"),
            ("x: !!python/name:os.system", "tag"),
            ("x: !!binary aGVsbG8=", "tag"),
            ("x: !!set {a, b}", "tag"),
            ("x: !include /etc/passwd", "tag"),
            ("%TAG ! tag:example.com,2002:\n---\nx: !y 1", "tag"),
            ("<<: {version: 2}", "<<"),
            ("a: &a {b: 1}\nc: {<<: *a}", "alias"),
            ("a: &a [*a]", "alias"),
            ("version: 1\nversion: 2", "given twice"),
            ("? [a, b]\n: 1", "plain text"),
            ("x: 0777", "octal"),
            ("x: " + "9" * 5000, "a number of 5,000 characters"),
            ("x: .nan", "not a number"),
            ("x: -.inf", "not a number"),
            ("x: 1e999", "too large"),
            ('x: "\\ud800"', "surrogate"),
            ('"\\ud800": 1', "surrogate"),
        ],
    )
    def test_nothing_expands_runs_or_is_read_twice(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
    ) -> None:
        monkeypatch.chdir(folder)
        path = folder / "policy.yaml"
        path.write_text(text)
        assert any(said in f"{one.message} {one.hint}" for one in refused(path))
        assert not (folder / "pwned").exists()

    @pytest.mark.parametrize(
        ("text", "value"),
        [
            *((word, word) for word in ("no", "No", "NO", "yes", "on", "off", "y", "n")),  # Norway
            ("1:30:00", "1:30:00"),  # base 60 in YAML 1.1
            ("190:20:30.15", "190:20:30.15"),
            ("2026-11-23", "2026-11-23"),  # a date in YAML 1.1
            ("1_000", "1_000"),
            ("0o17", 15),
            ("0x1F", 31),
            ("0b11", "0b11"),
            ("1e3", 1000.0),
            ("=", "="),
            ("~", None),
            ("True", True),
        ],
    )
    def test_plain_words_are_what_they_look_like(self, text: str, value: object) -> None:
        found = read_value(f"x: {text}", Path("policy.yaml"))
        assert not found.problems
        assert found.data == {"x": value}
        assert type(found.data["x"]) is type(value)

    @pytest.mark.parametrize(
        "raw",
        [
            GOOD.encode("utf-16"),
            GOOD.encode("utf-16-be"),
            GOOD.encode("utf-32"),
            b"\x1f\x8b\x08" + bytes(1000),
            b"PAR1" + bytes(range(256)),
            GOOD.replace("Example", "Exämple").encode("latin-1"),
            b"\x00" * 10_000,
        ],
        ids=["utf-16", "utf-16 without mark", "utf-32", "gzip", "parquet", "latin-1", "zeros"],
    )
    def test_what_is_not_utf8_text_is_no_policy(self, folder: Path, raw: bytes) -> None:
        (folder / "policy.yaml").write_bytes(raw)
        found = refused(folder / "policy.yaml")
        assert any("UTF-8" in one.message or "no place in YAML" in one.message for one in found)

    @pytest.mark.parametrize(
        "text",
        [
            "x: " + "a" * 900_000,
            "x: |\n" + "  a\n" * 200_000,
            "x: '" + "''" * 400_000 + "'",
            "x: " + "\\" * 900_000,
            "#" * 900_000,
            "\n" * 900_000,
            "x: " + "- " * 400_000,
            "- " * 450_000,
            "!" * 900_000,
            "&a " * 300_000,
            "x: >\n" + " " * 900_000 + "a",
        ],
        ids=range(11),
    )
    def test_the_longest_that_fits_is_refused_in_time(self, folder: Path, text: str) -> None:
        (folder / "policy.yaml").write_text(text)
        with at_once(20), pytest.raises(PolicyError) as caught:
            load_policy(folder / "policy.yaml")
        assert len(str(caught.value)) < 100_000

    def test_windows_line_ends_do_no_harm(self, folder: Path) -> None:
        (folder / "policy.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
        assert load_policy(folder / "policy.yaml").name == "support-bot-1.2"


TRICKS = {
    "up": "../x",
    "absolute": "/etc/passwd",
    "slash": "a/b",
    "backslash": "a\\b",
    "here": ".",
    "parent": "..",
    "hidden": ".hidden",
    "option": "-rf",
    "empty": "",
    "long": "x" * 300,
    "newline": "a\nb",
    "last newline": "ab\n",
    "nul": "a\0b",
    "escape": "a\x1b[31m",
    "bidi": "a\u202eb",
    "zero width": "a\u200bb",
    "look-alike": "sft\u0430",
    "full width": "ｓｆｔ",
    "formula": "=1+1",
    "shell": "$(touch x)",
    "markup": "<b>x</b>",
    "space": "a b",
    "joined": "a+b",
}


class TestNames:
    @pytest.mark.parametrize("trick", TRICKS.values(), ids=TRICKS)
    @pytest.mark.parametrize("where", ["policy", "dataset", "arm"])
    def test_a_name_that_becomes_a_folder_or_file_is_plain(self, write: Write, where: str, trick: str) -> None:
        name = json.dumps(trick)
        text = {
            "policy": GOOD.replace("name: support-bot-1.2", f"name: {name}"),
            "dataset": GOOD.replace("name: sft", f"name: {name}"),
            "arm": GOOD + f"mitigations: [{{kind: output_filter, name: {name}}}]\n",
        }[where]
        found = refused(write(text))
        assert any("name" in str(one) for one in found)
        assert all(line.isprintable() for one in found for line in str(one).split("\n"))

    @pytest.mark.parametrize("trick", [t for t in TRICKS.values() if t not in (".", "..", ".hidden", "-rf")])
    @pytest.mark.parametrize("where", ["attacks", "probes"])
    def test_a_name_that_becomes_part_of_one_is_plain(self, write: Write, where: str, trick: str) -> None:
        name = json.dumps(trick)
        attack = GOOD.replace("{kind: bos_prefix,", f"{{kind: bos_prefix, name: {name},")
        text = attack if where == "attacks" else GOOD + f"probes: [{{kind: min_k, name: {name}}}]\n"
        assert any("name" in str(one) for one in refused(write(text)))

    def test_names_of_devices_elsewhere_are_names_here(self, write: Write) -> None:
        for name in ("CON", "nul", "aux.jsonl"):
            assert load_policy(write(GOOD.replace("name: sft", f"name: {name}"))).datasets[0].name == name

    @pytest.mark.parametrize("name", ["SFT", "Sft", "sft"])
    def test_names_that_differ_in_case_alone_are_refused(self, write: Write, name: str) -> None:
        """On a file system that does not tell them apart, one's evidence would overwrite the other's."""
        second = GOOD.split("datasets:\n")[1].split("attacks:")[0].replace("name: sft", f"name: {name}")
        found = refused(write(GOOD.replace("attacks:", second + "attacks:")))
        assert any(name in one.message and "dataset" in one.message for one in found)
