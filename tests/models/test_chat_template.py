"""Prefixes and turn marks of real chat templates, of odd ones, and of hostile ones."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit.errors import ModelError, TemplateError
from auditkit.models.chat_template import default_template, template_prefix, turn_format
from auditkit.models.sandbox import Limits, SandboxError, run_confined

FOLDER = Path(__file__).with_name("templates")
EXPECTED: dict[str, dict[str, Any]] = json.loads((FOLDER / "expected.json").read_text())
WANTS_PARTS = ("idefics3", "llava-next", "smolvlm")
DAY = datetime.date(2024, 7, 26)

TURNS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou "
    "are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + "
    "message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
OLMO2 = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ '<|system|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'user' %}"
    "{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if not loop.last %}"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}"
    "{{ '<|assistant|>\n'  + message['content'] + eos_token }}{% endif %}{% endif %}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}{% endfor %}"
)
VICUNA = (
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% set rest = messages[1:] %}{% else %}"
    "A chat between a curious user and an artificial intelligence assistant.{% set rest = messages %}{% endif %}"
    "{% for m in rest %}{% if m.role == 'user' %}{{ ' USER: ' + m.content }}{% else %}"
    "{{ ' ASSISTANT: ' + m.content + eos_token }}{% endif %}{% endfor %}"
)
LLAMA2_WITH_DEFAULT = (
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% set rest = messages[1:] %}{% else %}"
    "{% set s = 'You are helpful.' %}{% set rest = messages %}{% endif %}{% for m in rest %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.first %}{% set c = '<<SYS>>\n' + s + '\n<</SYS>>\n\n' + m.content %}{% else %}"
    "{% set c = m.content %}{% endif %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + c.strip() + ' [/INST]' }}"
    "{% else %}{{ ' ' + c.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GRANITE = (
    "{% if messages[0].role == 'system' %}{% set s = messages[0].content %}{% set rest = messages[1:] %}{% else %}"
    "{% set s = 'Today is ' + strftime_now('%B %d, %Y') + '.' %}{% set rest = messages %}{% endif %}"
    "{{ '<|start_of_role|>system<|end_of_role|>' + s + '<|end_of_text|>\n' }}{% for m in rest %}"
    "{{ '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' }}{% endfor %}"
)
REFUSES_ABSENCE = "{% if messages[0].role != 'system' %}{{ raise_exception('system message missing') }}{% endif %}"
REFUSES_EMPTY = (
    "{% if not messages[0].role == 'system' or not messages[0].content %}{{ raise_exception('x') }}{% endif %}"
)
PARTS = "{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}"


def prefix(template: Any, system: str | None = None, bos: str = "<s>", eos: str = "</s>") -> str:
    return template_prefix(template, bos_token=bos, eos_token=eos, system=system, date=DAY)


def real(name: str) -> tuple[str, dict[str, str]]:
    known = EXPECTED[name]
    return (FOLDER / f"{name}.jinja").read_text(), {"bos": known["bos"], "eos": known["eos"]}


class TestRealTemplates:
    def test_every_fixture_is_expected_and_listed(self) -> None:
        names = {path.stem for path in FOLDER.glob("*.jinja")}
        sources = (FOLDER / "SOURCES.md").read_text()
        assert names == set(EXPECTED)
        assert all(f"| {name}.jinja |" in sources for name in names)

    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_openings_and_turns(self, name: str) -> None:
        template, tokens = real(name)
        known = EXPECTED[name]
        assert prefix(template, **tokens) == known["default"]
        assert prefix(template, system="", **tokens) == known["bare"]
        turns = turn_format(template, bos_token=tokens["bos"], eos_token=tokens["eos"], date=DAY)
        assert [turns.user_open, turns.turn_change, turns.assistant_close] == known["turns"]

    @pytest.mark.parametrize("name", sorted(EXPECTED))
    def test_transformers_prints_the_same(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The oracle: what the library itself renders begins with the prefix, the question right after it."""
        from transformers.utils import chat_template_utils as library

        class Stopped(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Stopped:
                return cls(2024, 7, 26)

        monkeypatch.setattr(library, "datetime", Stopped)
        template, tokens = real(name)
        question, answer = "Why is the sky blue?", "It scatters."
        chat: list[dict[str, Any]] = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        if name in WANTS_PARTS:
            chat = [{**message, "content": [{"type": "text", "text": message["content"]}]} for message in chat]
        named: dict[str, Any] = {"bos_token": tokens["bos"], "eos_token": tokens["eos"]}
        rendered = library.render_jinja_template([chat], chat_template=template, **named)[0][0]
        _, change, close = EXPECTED[name]["turns"]
        assert rendered.startswith(EXPECTED[name]["default"] + question + change + answer)
        assert close.strip() in rendered.partition(answer)[2]


class TestDefaultSystemText:
    def test_smollm2(self) -> None:
        """Its beginning-of-sequence token is what opens every turn, too."""
        tokens = {"bos": "<|im_start|>", "eos": "<|im_end|>"}
        assert prefix(SMOLLM2, **tokens) == (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\n"
        )
        assert prefix(SMOLLM2, system="", **tokens) == "<|im_start|>user\n"
        assert prefix(SMOLLM2, system="Be brief.", **tokens) == (
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
        )
        turns = turn_format(SMOLLM2, bos_token="<|im_start|>", eos_token="<|im_end|>")
        assert turns.user_open == "<|im_start|>user\n"

    def test_olmo2(self) -> None:
        tokens = {"bos": "<|endoftext|>", "eos": "<|endoftext|>"}
        assert prefix(OLMO2, **tokens) == prefix(OLMO2, system="", **tokens) == "<|endoftext|><|user|>\n"
        assert prefix(OLMO2, system="S", **tokens) == "<|endoftext|><|system|>\nS\n<|user|>\n"

    def test_plain_text(self) -> None:
        assert prefix(VICUNA) == "A chat between a curious user and an artificial intelligence assistant. USER: "
        assert prefix(VICUNA, system="") == "USER: "

    def test_inside_the_users_turn(self) -> None:
        assert prefix(LLAMA2_WITH_DEFAULT) == "<s>[INST] <<SYS>>\nYou are helpful.\n<</SYS>>\n\n"
        assert prefix(LLAMA2_WITH_DEFAULT, system="") == "<s>[INST] "

    def test_in_the_last_users_turn_only(self) -> None:
        template = (
            "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {% if loop.last %}Be nice.\n\n"
            "{% endif %}{{ m.content }}[/INST]{% else %} {{ m.content }}{{ eos_token }}{% endif %}{% endfor %}"
        )
        assert prefix(template) == "<s>[INST] Be nice.\n\n"
        assert prefix(template, system="") == "<s>[INST] "

    def test_where_a_separator_stands_between_turns_only(self) -> None:
        template = (
            "{{ bos_token }}{% if messages[0].role != 'system' %}{{ '<|system|>\nBe nice.\n' }}{% endif %}"
            "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}{% if m.role == 'assistant' %}"
            "{{ eos_token }}{% if not loop.last %}{{ '\n' }}{% endif %}{% else %}{{ '\n' }}{% endif %}{% endfor %}"
        )
        assert prefix(template) == "<s><|system|>\nBe nice.\n<|user|>\n"
        assert prefix(template, system="") == "<s><|user|>\n"

    def test_where_the_next_answer_is_always_opened(self) -> None:
        default = "{% if messages[0].role != 'system' %}<|im_start|>system\nHi.<|im_end|>\n{% endif %}"
        template = default + CHATML + "<|im_start|>assistant\n"
        assert prefix(template, system="") == "<|im_start|>user\n"
        turns = turn_format(template)
        assert (turns.turn_change, turns.assistant_close) == ("<|im_end|>\n<|im_start|>assistant\n", "<|im_end|>\n")

    def test_empty_system_turn_counts_as_one(self) -> None:
        template = (
            "<|system|>{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}<|end|>"
            "{% for m in messages if m.role != 'system' %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
        )
        assert prefix(template) == "<|system|><|end|><|user|>"
        assert prefix(template, system="") == "<|user|>"

    def test_single_turn_template_has_one_opening(self) -> None:
        template = "Below is an instruction.\n\n### Instruction:\n{{ messages[-1].content }}\n\n### Response:\n"
        expected = "Below is an instruction.\n\n### Instruction:\n"
        assert prefix(template) == prefix(template, system="") == expected

    def test_untold_opening_is_an_error_not_a_guess(self) -> None:
        template = (
            "{% if messages | length > 2 %}{{ raise_exception('too long') }}{% endif %}"
            "{% if messages[0].role == 'system' and messages[0].content %}{{ messages[0].content }}{% else %}"
            "I am Bot.{% endif %} Q: {{ messages[-1].content }}"
        )
        assert prefix(template) == "I am Bot. Q: "
        with pytest.raises(TemplateError, match="system text of its own"):
            prefix(template, system="")

    def test_without_tokens_a_written_out_opening_stays(self) -> None:
        template = "<s>{% if messages[0].role != 'system' %}Be nice. {% endif %}" + VICUNA.partition("{% endif %}")[2]
        template = template.replace("in rest", "in messages")
        assert prefix(template, bos="", eos="").startswith("<s>Be nice.")
        assert prefix(template, system="", bos="", eos="") == "<s>USER: "


class TestSystemMessages:
    @pytest.mark.parametrize("system", [None, ""])
    def test_refused_absence_gives_an_empty_turn(self, system: str | None) -> None:
        assert prefix(REFUSES_ABSENCE + TURNS, system) == "<|system|>\n<|end|>\n<|user|>\n"

    def test_refused_emptiness_gives_a_neutral_text(self) -> None:
        expected = "<|system|>\nYou are a helpful assistant.<|end|>\n<|user|>\n"
        assert prefix(REFUSES_EMPTY + TURNS) == prefix(REFUSES_EMPTY + TURNS, system="") == expected

    def test_first_message_taken_for_the_systems(self) -> None:
        rest = TURNS.replace("in messages", "in messages[1:]")
        template = "<|system|>\n{{ messages[0].content }}<|end|>\n" + rest
        assert prefix(template) == "<|system|>\n<|end|>\n<|user|>\n"

    def test_first_message_dropped(self) -> None:
        assert prefix(TURNS.replace("in messages", "in messages[1:]")) == "<|user|>\n"

    def test_refused_system_message(self) -> None:
        template, tokens = real("gemma")
        with pytest.raises(TemplateError, match="System role not supported"):
            prefix(template, system="Be brief.", **tokens)

    def test_ignored_system_message(self) -> None:
        template, tokens = real("phi3-medium")
        with pytest.raises(TemplateError, match="leaves the system message out"):
            prefix(template, system="Be brief.", **tokens)

    @pytest.mark.parametrize("name", ["llama2", "llama3.1", "gemma3", "mistral-v7-tekken", "gpt-oss", "command-r7b"])
    def test_text_is_printed_before_the_user(self, name: str) -> None:
        template, tokens = real(name)
        found = prefix(template, system="Answer in rhymes.", **tokens)
        bare = EXPECTED[name]["turns"][0]
        assert "Answer in rhymes." in found
        assert found.endswith(bare) or bare in found[: found.index("Answer in rhymes.")]


class TestWaysOfPrinting:
    @pytest.mark.parametrize(
        "content",
        [
            "m.content | trim",
            "m.content | upper",
            "m.content | title",
            "m.content | e",
            "m.content.split('</think>')[-1]",
            "m['content'][0:500]",
        ],
    )
    def test_transformed_content(self, content: str) -> None:
        template = TURNS.replace("m.content", content)
        assert prefix(template) == "<|user|>\n"
        assert turn_format(template).turn_change == "<|end|>\n<|assistant|>\n"

    @pytest.mark.parametrize("printed", [PARTS, "{{ m.content[0].text }}", "{{ m['content'][0]['text'] | trim }}"])
    def test_content_in_parts(self, printed: str) -> None:
        template = TURNS.replace("{{ m.content }}", printed)
        assert prefix(template) == "<|user|>\n"
        assert turn_format(template).assistant_close == "<|end|>\n"

    def test_answering_role_called_model(self) -> None:
        check = "{% if m.role not in ['user', 'model', 'system'] %}{{ raise_exception('role') }}{% endif %}"
        template = TURNS.replace("<|{{", check + "<|{{")
        assert turn_format(template).turn_change == "<|end|>\n<|model|>\n"

    def test_generation_tag_loop_controls_namespace_and_macros(self) -> None:
        template = (
            "{%- set ns = namespace(n=0) -%}{% macro turn(m) %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endmacro %}"
            "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{% if m.role == 'assistant' %}"
            "{% generation %}{{ turn(m) }}{% endgeneration %}{% else %}{{ turn(m) }}{% endif %}"
            "{% set ns.n = ns.n + 1 %}{% if ns.n > 9 %}{% break %}{% endif %}{% endfor %}"
            "{% if tools %}{{ tools | tojson(indent=2) }}{% endif %}"
        )
        assert prefix(template) == "<|user|>"
        assert turn_format(template).turn_change == "<|end|><|assistant|>"

    def test_tojson_does_not_escape_html(self) -> None:
        template = "{{ {'a': '<é>'} | tojson }}" + TURNS
        assert prefix(template) == '{"a": "<é>"}<|user|>\n'

    def test_date_is_pinned(self) -> None:
        assert "Today is July 26, 2024." in prefix(GRANITE)
        assert prefix(GRANITE, system="") == "<|start_of_role|>user<|end_of_role|>"
        later = template_prefix(GRANITE, date=datetime.date(2031, 1, 2))
        assert "January 02, 2031" in later

    def test_dropped_last_answer_is_read_off_a_longer_conversation(self) -> None:
        template = (
            "{% for m in messages %}{% if not (loop.last and m.role == 'assistant') %}"
            "<|{{ m.role }}|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
        )
        turns = turn_format(template)
        assert (turns.turn_change, turns.assistant_close) == ("<|end|><|assistant|>", "<|end|>")

    def test_content_printed_twice_has_no_turn_format(self) -> None:
        template = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }} ({{ m.content }})<|end|>{% endfor %}"
        assert prefix(template) == "<|user|>"
        with pytest.raises(TemplateError, match="more than once"):
            turn_format(template)

    @given(
        system=st.text("abc <|>:\n", max_size=8),
        opening=st.from_regex(r"<\|[a-z]{1,8}\|>\n?", fullmatch=True),
        closing=st.from_regex(r"<\|[A-Z]{1,8}\|>\n?", fullmatch=True),
    )
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def test_law_bare_opening_is_header_and_users_mark(self, system: str, opening: str, closing: str) -> None:
        """Whatever default system turn stands in front, without it the header and the user's mark are left."""
        default = repr("<|sys|>Be nice. " + system + closing)
        mark = f"'<|sys|>' if m.role == 'system' else {opening!r} if m.role == 'user' else '<|bot|>'"
        template = (
            "{{ bos_token }}{% if messages[0].role != 'system' %}{{ " + default + " }}{% endif %}"
            "{% for m in messages %}{{ (" + mark + ") ~ m.content ~ " + repr(closing) + " }}{% endfor %}"
        )
        assert prefix(template) == "<s><|sys|>Be nice. " + system + closing + opening
        assert prefix(template, system="") == "<s>" + opening


class TestWhatIsTaken:
    def test_named_templates_as_dict_or_list(self) -> None:
        named = {"rag": "x", "default": CHATML, "tool_use": "y"}
        listed = [{"name": name, "template": text} for name, text in named.items()]
        assert prefix(named) == prefix(listed) == prefix(CHATML) == "<|im_start|>user\n"

    def test_only_template_of_another_name(self) -> None:
        assert default_template({"chat": CHATML}) == CHATML

    @pytest.mark.parametrize("nothing", [None, {}, [], {"rag": "x", "tool_use": "y"}, [{"name": ["x"]}], 7])
    def test_no_template(self, nothing: Any) -> None:
        with pytest.raises(TemplateError):
            prefix(nothing)

    def test_tokenizer(self) -> None:
        tokenizer = SimpleNamespace(chat_template={"default": OLMO2, "rag": "x"}, bos_token="<B>", eos_token="<E>")
        assert template_prefix(tokenizer) == "<B><|user|>\n"
        assert turn_format(tokenizer).assistant_close == "<E>"

    def test_tokenizer_without_template_or_tokens(self) -> None:
        with pytest.raises(TemplateError, match="no chat template"):
            template_prefix(SimpleNamespace(chat_template=None, bos_token=None, eos_token=None))
        assert template_prefix(SimpleNamespace(chat_template=OLMO2, bos_token=None, eos_token=None)) == "<|user|>\n"


HOSTILE = {
    "endless loop": (
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "longer than 2 s",
    ),
    "endless arithmetic": ("{{ 9 ** (9 ** 9) }}", "longer than 2 s"),
    "huge text": ("{{ 'a' * 10 ** 9 }}", "512 MB"),
    "huge padding": ("{{ 'x'.ljust(10 ** 10) }}", "512 MB"),
    "huge format": ("{{ '%2000000000d' % 1 }}", "512 MB"),
    "doubling": (
        "{% set n = namespace(a='aaaaaaaa') %}{% for i in range(64) %}{% set n.a = n.a ~ n.a %}{% endfor %}{{ n.a }}",
        "512 MB",
    ),
    "long output": ("{{ 'a' * 2000000 }}", "too much text"),
    "endless output": ("{% for i in range(99999) %}{{ 'a' * 10000 }}{% endfor %}", "too much text"),
    "huge range": ("{{ range(10 ** 9) | list }}", "Range too big"),
    "class attributes": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "sandbox"),
    "globals": ("{{ cycler.__init__.__globals__.os.popen('id').read() }}", "sandbox"),
    "attr filter": ("{{ (''|attr('__class__')).mro() }}", "sandbox"),
    "format string": ("{{ '{0.__class__.__mro__}'.format('') }}", "sandbox"),
    "namespace": ("{{ namespace(__class__=1) }}", "sandbox"),
    "mutation": ("{{ messages.append(1) }}", "sandbox"),
    "include": ("{% include '/etc/passwd' %}", "no loader"),
    "import": ("{% import '/etc/passwd' as x %}", "no loader"),
    "extends": ("{% extends '/etc/passwd' %}", "no loader"),
    "deep brackets": ("{{" + "(" * 20_000 + "1" + ")" * 20_000 + "}}", "nested too deeply"),
    "deep recursion": ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested too deeply"),
    "broken": ("{% for %}", "not a valid Jinja2"),
    "unknown tag": ("{% do x %}", "not a valid Jinja2"),
    "says nothing": ("hello", "does not print the user's text"),
    "long": ("{# " + "x" * 600_000 + " #}" + CHATML, "longer than"),
}


class TestHostileTemplates:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_clear_error_soon(self, name: str) -> None:
        template, says = HOSTILE[name]
        started = time.process_time(), time.monotonic()
        with pytest.raises(TemplateError, match=says) as caught:
            prefix(template)
        assert isinstance(caught.value, ModelError)
        assert len(str(caught.value)) < 1000
        assert time.process_time() - started[0] < 1, "the work is the child's, not ours"
        assert time.monotonic() - started[1] < 30

    def test_no_control_characters_in_the_message(self) -> None:
        with pytest.raises(TemplateError) as caught:
            prefix("{{ raise_exception('\x1b[31mred\x07\u202e' + 'x' * 5000) }}")
        assert all(char.isprintable() or char == "\n" for char in str(caught.value))
        assert "red" in str(caught.value)
        assert len(str(caught.value)) < 600

    def test_child_sees_no_environment_and_opens_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Even code that got out of the template's sandbox finds no environment, no file, no socket."""
        monkeypatch.setenv("AUDITKIT_SECRET", "hush")
        worker = tmp_path / "worker.py"
        worker.write_text(
            "import os, socket\n"
            "def attempt(what):\n"
            "    try:\n        what()\n    except Exception as error:\n        return type(error).__name__\n"
            "    return 'done'\n"
            "def work(job):\n"
            "    return [dict(os.environ).get('AUDITKIT_SECRET'), attempt(lambda: open('/etc/passwd')),\n"
            "            attempt(lambda: open(job, 'w')), attempt(socket.socket)]\n"
        )
        answer = run_confined(worker, str(tmp_path / "written"))
        assert answer == [None, "OSError", "OSError", "OSError"]
        assert not (tmp_path / "written").exists()

    def test_what_the_child_starts_dies_with_it(self, tmp_path: Path) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text(
            "import os, time\n"
            "def work(job):\n"
            "    pid = os.fork()\n"
            "    if pid == 0:\n        time.sleep(60)\n"
            "    os.write(job, str(pid).encode())\n"
        )
        reading, writing = os.pipe()
        with pytest.raises(SandboxError, match="time"):  # the grandchild keeps the answer's pipe open
            run_confined(worker, writing, limits=Limits(seconds=1), files=(writing,))
        grandchild = os.read(reading, 20).decode()
        for _ in range(100):
            found = subprocess.run(["ps", "-o", "stat=", "-p", grandchild], capture_output=True, text=True)
            if not found.stdout.strip() or found.stdout.startswith("Z"):
                return
            time.sleep(0.05)
        pytest.fail("the grandchild lives on")

    @pytest.mark.parametrize(
        ("body", "failure"),
        [
            ("while True: pass", "time"),
            ("import time; time.sleep(100)", "time"),
            ("return 'x' * 10**5", "output"),
            ("return bytearray(10**9)", "memory"),
            ("import os; os._exit(3)", "crash"),
            ("import os; os.kill(os.getpid(), 11)", "crash"),
            ("print('{'); return 1", "crash"),
            ("raise ValueError('no')", "refused"),
        ],
    )
    def test_every_end_has_a_name(self, tmp_path: Path, body: str, failure: str) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text(f"def work(job):\n    {body}\n")
        with pytest.raises(SandboxError) as caught:
            run_confined(worker, None, limits=Limits(seconds=1, output=10_000))
        assert caught.value.failure == failure

    def test_large_jobs_and_answers_do_not_block(self, tmp_path: Path) -> None:
        worker = tmp_path / "worker.py"
        worker.write_text("def work(job):\n    return job\n")
        assert run_confined(worker, "x" * 3_000_000) == "x" * 3_000_000
