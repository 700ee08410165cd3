"""Model folders and files: what is found, what is refused, and that the digests tell models apart."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditkit.errors import ModelError
from auditkit.models import safetensors_child
from auditkit.models.weights import chat_template_of, find_weights, identity, manifest_sha256
from tests.models.gguf_files import METADATA, TEMPLATE, build, number

INDEX = "model.safetensors.index.json"
Table = dict[str, Any]


def safetensors(tensors: dict[str, list[int]], dtype: str = "F32", width: int = 4) -> bytes:
    """A file with these tensors (name -> shape), all zero."""
    table: Table = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        size = width
        for side in shape:
            size *= side
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return with_header(table, bytes(end))


def with_header(table: Any, data: bytes) -> bytes:
    header = table if isinstance(table, bytes) else json.dumps(table).encode()
    return struct.pack("<Q", len(header)) + header + data


def parsed(raw: bytes) -> dict[str, Any]:
    return safetensors_child.parse(lambda offset, length: raw[offset : offset + length], len(raw))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small model in one piece."""
    path = tmp_path / "model"
    path.mkdir()
    (path / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (path / "generation_config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(safetensors({"a": [2, 3], "b": [4]}))
    (path / "tokenizer.json").write_text("{}")
    config = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "chat_template": TEMPLATE}
    (path / "tokenizer_config.json").write_text(json.dumps(config))
    (path / "README.md").write_text("hello")
    return path


@pytest.fixture
def sharded(folder: Path) -> Path:
    """The same in two pieces."""
    (folder / "model.safetensors").unlink()
    names = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    for tensor, name in names.items():
        (folder / name).write_bytes(safetensors({tensor: [5]}))
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 40}, "weight_map": names}))
    return folder


def names(paths: tuple[Path, ...]) -> list[str]:
    return [path.name for path in paths]


class TestFolders:
    def test_one_piece(self, folder: Path) -> None:
        found = find_weights(folder)
        assert (found.format, names(found.weights), found.parameters) == ("safetensors", ["model.safetensors"], 10)
        assert names(found.tokenizer) == ["tokenizer.json", "tokenizer_config.json"]
        assert names(found.others) == ["config.json", "generation_config.json"]
        assert found.warnings == ()

    def test_sharded(self, sharded: Path) -> None:
        found = find_weights(sharded)
        assert names(found.weights) == [f"model-0000{part}-of-00002.safetensors" for part in (1, 2)]
        assert found.parameters == 10

    def test_missing_shard_is_named(self, sharded: Path) -> None:
        (sharded / "model-00002-of-00002.safetensors").unlink()
        with pytest.raises(ModelError, match=r"1 of 2 weight files are missing: model-00002-of-00002\.safetensors"):
            find_weights(sharded)

    def test_shard_without_its_tensor(self, sharded: Path) -> None:
        (sharded / "model-00002-of-00002.safetensors").write_bytes(safetensors({"c": [5]}))
        with pytest.raises(ModelError, match="lacks 1 of its tensors, 'b'"):
            find_weights(sharded)

    @pytest.mark.parametrize(
        "name", ["../x.safetensors", "/etc/passwd", "sub/x.safetensors", "x.bin", "x\n.safetensors"]
    )
    def test_index_that_points_elsewhere(self, sharded: Path, name: str) -> None:
        (sharded / INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ModelError, match=r"is not the name of a \.safetensors file"):
            find_weights(sharded)

    @pytest.mark.parametrize("text", ["[]", "{", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "[" * 100_000])
    def test_broken_index(self, sharded: Path, text: str) -> None:
        (sharded / INDEX).write_text(text)
        with pytest.raises(ModelError, match=r"index\.json"):
            find_weights(sharded)

    def test_code_of_its_own_is_warned_about(self, folder: Path) -> None:
        (folder / "config.json").write_text('{"auto_map": {"AutoModel": "modeling.X"}}')
        assert any("auto_map" in warning for warning in find_weights(folder).warnings)

    def test_whole_file_goes_before_shards(self, sharded: Path) -> None:
        (sharded / "model.safetensors").write_bytes(safetensors({"a": [7]}))
        found = find_weights(sharded)
        assert found.parameters == 7
        assert any("ignored" in warning for warning in found.warnings)

    @pytest.mark.parametrize(
        ("name", "text", "says"),
        [
            ("adapter_config.json", "{}", "adapter"),
            ("config.json", '{"transformers_weights": "x.safetensors"}', "transformers_weights"),
            ("config.json", "{", "is not valid JSON at line 1"),
            ("config.json", "[]", "not a JSON object"),
            ("config.json", "\udc80", "not UTF-8"),
        ],
    )
    def test_folders_that_would_load_something_else(self, folder: Path, name: str, text: str, says: str) -> None:
        (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ModelError, match=says):
            find_weights(folder)

    def test_nothing_there(self, folder: Path, tmp_path: Path) -> None:
        (folder / "model.safetensors").unlink()
        with pytest.raises(ModelError, match="no weights"):
            find_weights(folder)
        (folder / "config.json").unlink()
        with pytest.raises(ModelError, match=r"no config\.json"):
            find_weights(folder)
        with pytest.raises(ModelError, match="no such model"):
            find_weights(tmp_path / "missing")

    def test_unnamed_safetensors(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
        with pytest.raises(ModelError, match="neither"):
            find_weights(folder)


class TestPickles:
    @pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "model.ckpt", "model.pkl"])
    def test_refused_unless_allowed(self, folder: Path, name: str) -> None:
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(b"\x80\x04.")
        with pytest.raises(ModelError, match="pickle can run any code"):
            find_weights(folder)
        found = find_weights(folder, allow_pickle=True)
        assert (found.format, names(found.weights), found.parameters) == ("pickle", [name], 0)

    def test_lone_file(self, tmp_path: Path) -> None:
        (tmp_path / "model.pt").write_bytes(b"x")
        with pytest.raises(ModelError, match="pickled weights"):
            find_weights(tmp_path / "model.pt")

    def test_beside_safetensors_they_are_left_aside(self, folder: Path) -> None:
        (folder / "training_args.bin").write_bytes(b"x")
        found = find_weights(folder)
        assert names(found.weights) == ["model.safetensors"]
        assert any("training_args.bin" in warning for warning in found.warnings)


class TestLinks:
    def test_out_of_the_folder(self, folder: Path, tmp_path: Path) -> None:
        (folder / "model.safetensors").rename(tmp_path / "elsewhere.safetensors")
        (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
        with pytest.raises(ModelError, match="leads out of the folder"):
            find_weights(folder)

    def test_secret_file_as_template(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "secret").write_text("hush")
        (folder / "chat_template.jinja").symlink_to(tmp_path / "secret")
        with pytest.raises(ModelError, match="leads out of the folder"):
            chat_template_of(folder)

    def test_to_nothing_and_in_circles(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to("gone")
        with pytest.raises(ModelError, match="link to nothing"):
            find_weights(folder)
        (folder / "gone").symlink_to("model.safetensors")
        with pytest.raises(ModelError, match="link to nothing"):
            find_weights(folder)

    def test_inside_the_folder(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "weights")
        (folder / "model.safetensors").symlink_to("weights")
        assert find_weights(folder).parameters == 10

    def test_snapshot_of_the_hub_cache(self, folder: Path, tmp_path: Path) -> None:
        repository = tmp_path / "models--org--name"
        snapshot = repository / "snapshots" / ("0" * 40)
        snapshot.mkdir(parents=True)
        (repository / "blobs").mkdir()
        for file in folder.iterdir():
            blob = repository / "blobs" / hashlib.sha256(file.name.encode()).hexdigest()
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(Path("../../blobs") / blob.name)
        assert identity(snapshot, "candidate", "x").sha256 == identity(folder, "candidate", "x").sha256

    def test_pipe_in_place_of_weights(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        os.mkfifo(folder / "model.safetensors")
        with pytest.raises(ModelError, match="not an ordinary file"):
            find_weights(folder)


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
BAD_HEADERS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "too short"),
    "header past the end": (struct.pack("<Q", 100) + bytes(50), "claims a header of 100 bytes"),
    "header of 2**63": (struct.pack("<Q", 2**63) + bytes(50), "claims a header"),
    "not json": (with_header(b"\xff{}", b""), "not JSON"),
    "nested without end": (with_header(b"[" * 200_000, b""), "not JSON"),
    "number without end": (with_header(b'{"a": ' + b"9" * 10_000 + b"}", b""), "not JSON"),
    "not an object": (with_header([], b""), "not a JSON object"),
    "name twice": (with_header(b'{"a": 1, "a": 1}', b""), "comes twice"),
    "no entry": (with_header({"a": 1}, b""), "lacks dtype"),
    "no offsets": (with_header({"a": {"dtype": "F32", "shape": [2]}}, b""), "lacks dtype"),
    "unknown type": (with_header({"a": ENTRY | {"dtype": "X9"}}, bytes(8)), "unknown type"),
    "type that is a list": (with_header({"a": ENTRY | {"dtype": []}}, bytes(8)), "unknown type"),
    "negative side": (with_header({"a": ENTRY | {"shape": [-2]}}, bytes(8)), "no sizes"),
    "fractional side": (with_header({"a": ENTRY | {"shape": [2.0]}}, bytes(8)), "no sizes"),
    "offsets backwards": (with_header({"a": ENTRY | {"data_offsets": [8, 0]}}, bytes(8)), "not what its shape"),
    "wrong size": (with_header({"a": ENTRY | {"data_offsets": [0, 4]}}, bytes(8)), "not what its shape"),
    "cut off": (with_header({"a": ENTRY}, bytes(7)), "cut off"),
    "something appended": (with_header({"a": ENTRY}, bytes(9)), "appended"),
    "gap": (with_header({"a": ENTRY | {"data_offsets": [1, 9]}}, bytes(9)), "overlap or leave a gap"),
    "overlap": (with_header({"a": ENTRY, "b": ENTRY}, bytes(8)), "overlap or leave a gap"),
}


class TestSafetensorsHeaders:
    @pytest.mark.parametrize("name", BAD_HEADERS)
    def test_refused(self, name: str) -> None:
        raw, says = BAD_HEADERS[name]
        with pytest.raises(safetensors_child.Refused, match=says):
            parsed(raw)

    def test_error_names_the_file(self, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(BAD_HEADERS["cut off"][0])
        with pytest.raises(ModelError, match=r"model\.safetensors: not a usable safetensors file: .*cut off"):
            find_weights(folder)

    def test_masks_and_tables_are_no_parameters(self) -> None:
        assert parsed(safetensors({"a": [3]}, "BF16", 2))["parameters"] == 3
        assert parsed(safetensors({"a": [3]}, "BOOL", 1))["parameters"] == 0

    def test_a_file_of_the_real_library(self, tmp_path: Path) -> None:
        import numpy as np
        from safetensors.numpy import save_file

        save_file({"x": np.zeros((3, 4), np.float16), "y": np.zeros((0, 2), np.float32)}, tmp_path / "real.safetensors")
        raw = (tmp_path / "real.safetensors").read_bytes()
        found = parsed(raw)
        assert (found["parameters"], set(found["tensors"])) == (12, {"x", "y"})

    @given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), min_size=1, max_size=5))
    @settings(max_examples=400, deadline=500)
    def test_mutated_files_are_read_or_refused(self, changes: list[tuple[int, int]]) -> None:
        raw = bytearray(safetensors({"a": [2, 3], "b": [4]}))
        for place, value in changes:
            raw[place] = value
        try:
            assert parsed(bytes(raw))["parameters"] >= 0
        except safetensors_child.Refused as error:
            assert str(error)


class TestIdentity:
    def test_digests(self, folder: Path) -> None:
        found = identity(folder, "candidate", "transformers", dtype="bfloat16")
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        assert found.files["model.safetensors"] == weights
        assert "README.md" not in found.files
        assert found.sha256 == manifest_sha256(found.files)
        assert found.chat_template_sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()
        assert (found.role, found.backend, found.dtype) == ("candidate", "transformers", "bfloat16")
        assert (found.source, found.parameters) == (str(folder), 10)

    def test_manifest_is_sorted_and_unambiguous(self) -> None:
        assert manifest_sha256({"b": "1", "a": "2"}) == hashlib.sha256(b'{"a":"2","b":"1"}').hexdigest()

    @pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"])
    def test_every_byte_that_counts_counts(self, folder: Path, name: str) -> None:
        before = identity(folder, "candidate", "x")
        raw = bytearray((folder / name).read_bytes())
        raw[-1:] = raw[-1:] + b" " if name.endswith("json") else bytes([raw[-1] ^ 1])
        (folder / name).write_bytes(raw)
        after = identity(folder, "candidate", "x")
        assert before.sha256 != after.sha256
        assert (before.tokenizer_sha256 != after.tokenizer_sha256) == (name == "tokenizer.json")

    def test_other_files_and_places_do_not(self, folder: Path, tmp_path: Path) -> None:
        before = identity(folder, "candidate", "x")
        (folder / "README.md").write_text("changed")
        shutil.copytree(folder, tmp_path / "copy")
        assert identity(tmp_path / "copy", "candidate", "x").sha256 == before.sha256

    def test_template_file_counts(self, folder: Path) -> None:
        before = identity(folder, "candidate", "x")
        (folder / "chat_template.jinja").write_text("other")
        after = identity(folder, "candidate", "x")
        assert before.chat_template_sha256 != after.chat_template_sha256
        assert before.sha256 != after.sha256

    def test_gguf(self, tmp_path: Path) -> None:
        path, renamed = tmp_path / "a.gguf", tmp_path / "b.gguf"
        path.write_bytes(build())
        found = identity(path, "candidate", "x")
        assert found.sha256 == found.files["a.gguf"] == hashlib.sha256(build()).hexdigest()
        assert found.parameters == 96
        assert found.tokenizer_sha256
        assert found.chat_template_sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()
        path.rename(renamed)
        assert identity(renamed, "candidate", "x").sha256 == found.sha256

    def test_part_of_a_split_gguf(self, tmp_path: Path) -> None:
        path = tmp_path / "a-00001-of-00003.gguf"
        path.write_bytes(build((*METADATA, number("split.count", 3))))
        with pytest.raises(ModelError, match="one of 3 parts"):
            find_weights(path)

    def test_folder_with_only_a_gguf_names_it(self, tmp_path: Path) -> None:
        (tmp_path / "model.gguf").write_bytes(build())
        with pytest.raises(ModelError, match=r"name the file: .*model\.gguf"):
            find_weights(tmp_path)


class TestChatTemplateOf:
    def test_configuration(self, folder: Path) -> None:
        assert chat_template_of(folder) == (TEMPLATE, "<s>", "</s>")

    def test_gguf(self, tmp_path: Path) -> None:
        (tmp_path / "a.gguf").write_bytes(build())
        assert chat_template_of(tmp_path / "a.gguf") == (TEMPLATE, "<s>", "</s>")

    def test_template_file_goes_first(self, folder: Path) -> None:
        (folder / "chat_template.jinja").write_text("{{ 'é' }}\n")
        assert chat_template_of(folder)[0] == "{{ 'é' }}\n"

    @pytest.mark.parametrize(
        ("named", "found"),
        [
            ({"default": "D", "rag": "R"}, "D"),
            ([{"name": "rag", "template": "R"}, {"name": "default", "template": "D"}], "D"),
            ([{"name": "rag", "template": "R"}, {"name": "tool_use", "template": "T"}], None),
            (None, None),
            ("", None),
            (7, None),
        ],
    )
    def test_forms(self, folder: Path, named: Any, found: str | None) -> None:
        (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
        assert chat_template_of(folder) == (found, "", "")

    def test_tokens_and_template_of_older_files(self, folder: Path) -> None:
        (folder / "tokenizer_config.json").unlink()
        (folder / "special_tokens_map.json").write_text('{"bos_token": {"content": "<b>"}, "eos_token": "<e>"}')
        (folder / "chat_template.json").write_text('{"chat_template": "T"}')
        assert chat_template_of(folder) == ("T", "<b>", "<e>")

    def test_none(self, folder: Path) -> None:
        (folder / "tokenizer_config.json").unlink()
        assert chat_template_of(folder) == (None, "", "")
        assert identity(folder, "candidate", "x").chat_template_sha256 == ""

    def test_text_beyond_unicode(self, folder: Path) -> None:
        (folder / "tokenizer_config.json").write_text('{"chat_template": "\\ud800"}')
        assert len(identity(folder, "candidate", "x").chat_template_sha256) == 64

    def test_too_long(self, folder: Path) -> None:
        (folder / "chat_template.jinja").write_text("x" * 3_000_000)
        with pytest.raises(ModelError, match="are the most for such a file"):
            chat_template_of(folder)

    def test_token_that_is_no_text(self, folder: Path) -> None:
        (folder / "tokenizer_config.json").write_text('{"bos_token": 7}')
        with pytest.raises(ModelError, match="bos_token"):
            chat_template_of(folder)
