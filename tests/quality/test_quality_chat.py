"""Chat templates: what they render, what has none; the slow tests ask Transformers itself."""

import json
import struct
import subprocess
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import digests, environments
from inferometer.artifacts.catalog import shipped
from inferometer.artifacts.fetch import fetch
from inferometer.errors import NotTestableHere, UserError
from inferometer.quality.chat import ChatTemplate, compare_templates, read_template
from inferometer.quality.chat_gguf import metadata

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}\n"
    "    {% if message['role'] not in ['user', 'system'] %}"
    "{{ raise_exception('no such role') }}{% endif %}\n"
    "<{{ message['role'] }}>{{ message['content'] | trim }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}\n"
)
MESSAGES = ["What is 2 < 3 & 4?\n\n  Say it.", "Grüße, 日本 {{ 7 * 7 }} {% endfor %}", "a\tb'\"\\n"]
THEIRS = """
import json, sys
from transformers import AutoTokenizer
import gguf
job = json.loads(sys.argv[1])
tokenizer = AutoTokenizer.from_pretrained(job["folder"])
if job["template"]:
    tokenizer.chat_template = job["template"]
texts = [
    tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
    )
    for message in job["messages"]
]
reader = gguf.GGUFReader(job["gguf"])
tokens = reader.get_field("tokenizer.ggml.tokens").contents()
read = {k: reader.get_field(k).contents() for k in job["keys"]}
print(json.dumps({"texts": texts, "read": read, "tokens": [len(tokens), tokens[0], tokens[-1]]}))
"""


def folder(path: Path, **settings: object) -> Path:
    path.mkdir()
    (path / "tokenizer_config.json").write_text(json.dumps(settings))
    return path


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf_file(path: Path, *, template: str | None, version: int = 3) -> Path:
    """A GGUF without tensors, as its specification has it."""
    tokens = [b"<s>", b"</s>", b"a"]
    pairs = [
        string(b"general.alignment") + struct.pack("<II", 4, 32),
        string(b"tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.5, 1, 2),
        string(b"tokenizer.ggml.tokens")
        + struct.pack("<IIQ", 9, 8, 3)
        + b"".join(string(token) for token in tokens),
        string(b"tokenizer.ggml.bos_token_id") + struct.pack("<II", 4, 0),
        string(b"tokenizer.ggml.eos_token_id") + struct.pack("<II", 4, 1),
    ]
    if template is not None:
        text = string(template.encode())
        pairs.append(string(b"tokenizer.chat_template") + struct.pack("<I", 8) + text)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", version, 0, len(pairs)) + b"".join(pairs))
    return path


def test_a_prompt_and_its_digest(tmp_path: Path) -> None:
    bos = {"content": "<s>", "lstrip": False}
    template = read_template(
        folder(tmp_path / "m", chat_template=TEMPLATE, bos_token=bos, eos_token="</s>")
    )
    prompt = template.prompt(" Hello & <you> ")
    assert prompt.text == "<s><user>Hello & <you></s>\n<assistant>"
    assert prompt.template_sha256 == digests.of_bytes(TEMPLATE.encode())
    assert (prompt.bos, prompt.text_without_bos) == ("<s>", prompt.text[3:])
    assert template.prompt("x", system="Be brief.").text.startswith("<s><system>Be brief.</s>\n")
    own = tmp_path / "m" / "chat_template.jinja"
    own.write_text("{{ messages[0].content }}")
    other = read_template(tmp_path / "m").prompt("x")
    assert (other.text, other.bos, other.text_without_bos) == ("x", None, "x")


def test_the_clock_stands_still(tmp_path: Path) -> None:
    text = "{{ strftime_now('%d %b %Y') }}{{ messages[0].content }}"
    prompt = read_template(folder(tmp_path / "m", chat_template=text)).prompt("x")
    assert prompt.text == "26 Jul 2024x"


def test_a_gguf_and_its_folder_are_compared(tmp_path: Path) -> None:
    one = read_template(
        folder(tmp_path / "one", chat_template=TEMPLATE, bos_token="<s>", eos_token="</s>")
    )
    same = read_template(gguf_file(tmp_path / "m.gguf", template=TEMPLATE))
    assert (same.tokens, same.source) == (one.tokens, "m.gguf")
    assert compare_templates(one, same) == compare_templates(one, one)
    assert compare_templates(one, same).equal
    eos = read_template(
        folder(tmp_path / "two", chat_template=TEMPLATE, bos_token="<s>", eos_token="<e>")
    )
    said = compare_templates(one, eos)
    assert (said.equal, said.same_prompt) == (False, False)
    assert said.differences == ("eos_token is '</s>' in one and '<e>' in two",)
    spaced = ChatTemplate("spaced", "x", TEMPLATE.replace("{{ bos_token", "{{  bos_token"), {})
    words = compare_templates(ChatTemplate("plain", "x", TEMPLATE, {}), spaced)
    assert (words.equal, words.same_prompt) == (False, True)
    assert words.differences[0].startswith("the templates differ from character 4 on: 'bos_token")


def test_without_a_template_it_is_said_what_to_do(tmp_path: Path) -> None:
    bare = gguf_file(tmp_path / "m.gguf", template=None)
    with pytest.raises(NotTestableHere, match=r"base has no chat template; .*\(plain\)"):
        read_template(bare, artifact="base")
    prompt = read_template(bare, named="plain").prompt("Hello")
    assert prompt.text == "User: Hello\n\nAssistant:"
    with pytest.raises(UserError, match="fancy"):
        read_template(bare, named="fancy")
    with pytest.raises(UserError, match="does not exist"):
        read_template(tmp_path / "gone")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ raise_exception('only pairs') }}", "only pairs"),
        ("{% for m in messages %}", "TemplateSyntaxError"),
        ("{{ messages[0].content.upper() }}", "leaves a message out"),
        ("{{ messages[3].content + 1 }}", "UndefinedError"),
        ("{{ ''.__class__.__mro__ }}", "SecurityError"),
    ],
)
def test_a_template_that_fails_is_named(tmp_path: Path, text: str, words: str) -> None:
    template = read_template(folder(tmp_path / "odd", chat_template=text))
    with pytest.raises(UserError, match=words) as caught:
        template.prompt("x")
    assert str(caught.value).startswith("odd: its chat template (odd/tokenizer_config.json)")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    whole = gguf_file(tmp_path / "m.gguf", template=TEMPLATE).read_bytes()
    for content in (b"", b"GGU", b"no model at all", whole[:60], whole[:-9]):
        (tmp_path / "cut.gguf").write_bytes(content)
        with pytest.raises(UserError, match=r"cut\.gguf: its GGUF metadata cannot be read"):
            read_template(tmp_path / "cut.gguf")
    gguf_file(tmp_path / "old.gguf", template=TEMPLATE, version=1)
    with pytest.raises(UserError, match="version 1"):
        read_template(tmp_path / "old.gguf")
    broken = folder(tmp_path / "m")
    (broken / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match=r"tokenizer_config\.json: not JSON"):
        read_template(broken)


@pytest.mark.slow
@pytest.mark.parametrize("own", [None, TEMPLATE])
def test_transformers_renders_the_same_text(own: str | None) -> None:
    model = fetch("smollm2-135m-f32", shipped(), REPOSITORY).path
    gguf = fetch("smollm2-135m-q4_1", shipped(), REPOSITORY).path
    keys = ["tokenizer.chat_template", "tokenizer.ggml.bos_token_id"]
    job = {"folder": str(model), "gguf": str(gguf), "messages": MESSAGES, "template": own}
    python = environments.ensure(REPOSITORY, "transformers").python
    done = subprocess.run(
        [python, "-c", THEIRS, json.dumps({**job, "keys": keys})],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    template = read_template(model)
    if own:
        template = ChatTemplate(template.artifact, "ours", own, template.tokens)
    assert [template.prompt(message).text for message in MESSAGES] == theirs["texts"]
    found = metadata(gguf, {*keys, "tokenizer.ggml.tokens"})
    tokens = found["tokenizer.ggml.tokens"]
    assert [len(tokens), tokens[0].decode(), tokens[-1].decode()] == theirs["tokens"]
    assert found[keys[0]].decode() == theirs["read"][keys[0]]
    assert found[keys[1]] == theirs["read"][keys[1]]
    assert compare_templates(read_template(model), read_template(gguf)).equal
