"""The prompt that a chat template makes of a message: one text, sent to every runtime.

A runtime that applies a template of its own may add a system message, a date, or a space. So the
template is rendered here, as Transformers does it, and runtimes complete the text that comes out.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import meta
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from inferometer import digests
from inferometer.artifacts.fetch import GGUF_INSIDE
from inferometer.errors import NotTestableHere, UserError
from inferometer.quality.chat_gguf import metadata

DATE = datetime(2024, 7, 26)
"""What a template is told is now, so that every day's prompts are equal; the date that the
templates of Llama 3 fall back to."""
NAMED = {
    "plain": "{% for message in messages %}{{ message['role'].capitalize() + ': ' "
    "+ message['content'] + '\n\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
}
"""Templates for models that have none, by the name under which a design asks for them."""
PROBE = "Name a colour. Say <why> & how, it's  up to you."
TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
GGUF_IDS = {
    **{name: f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "mask")},
    **{"unk": "tokenizer.ggml.unknown_token_id", "pad": "tokenizer.ggml.padding_token_id"},
    "sep": "tokenizer.ggml.seperator_token_id",  # spelt so in the format
}
GGUF_TEMPLATE, GGUF_TOKENS = "tokenizer.chat_template", "tokenizer.ggml.tokens"


@dataclass(frozen=True)
class Prompt:
    """What a runtime is sent.

    Attributes
    ----------
    text
        All of it. A runtime must read special tokens in it as such and add none.
    template_sha256
        Digest of the template's text.
    bos
        The beginning-of-text token that `text` begins with; None where it begins with none. A
        runtime that always adds it is sent `text_without_bos`.
    """

    text: str
    template_sha256: str
    bos: str | None

    @property
    def text_without_bos(self) -> str:
        """The text for a tokenizer that puts the beginning-of-text token there itself."""
        return self.text.removeprefix(self.bos or "")


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template and the special tokens (`bos_token`, ...) that it may use.

    `source` is the file that it comes from, or `named plain`.
    """

    artifact: str
    source: str
    text: str
    tokens: dict[str, str]

    @cached_property
    def sha256(self) -> str:
        """Digest of the template's text."""
        return digests.of_bytes(self.text.encode())

    @cached_property
    def used(self) -> frozenset[str]:
        """Names that the template takes from outside: `bos_token`, `strftime_now`, ..."""
        try:
            return frozenset(meta.find_undeclared_variables(_environment().parse(self.text)))
        except jinja2.TemplateError as error:
            raise self._broken(error) from error

    def prompt(self, message: str, *, system: str | None = None) -> Prompt:
        """The prompt of one user's message, up to where the model's answer begins.

        Raises `UserError` when the template refuses the message, fails, or leaves it out.
        """
        messages = [{"role": "user", "content": message}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": system})
        try:
            template = _environment().from_string(self.text)
            text = template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=True,
                **self.tokens,
            )
        except Exception as error:  # a template is a program: whatever it raises is its fault
            raise self._broken(error) from error
        if any(one["content"].strip() not in text for one in messages):
            raise UserError(
                f"{self.artifact}: its chat template ({self.source}) leaves a message out of the "
                "prompt, or changes it; choose another template"
            )
        bos = self.tokens.get("bos_token")
        return Prompt(text, self.sha256, bos if bos and text.startswith(bos) else None)

    def _broken(self, error: Exception) -> UserError:
        return UserError(
            f"{self.artifact}: its chat template ({self.source}) cannot be rendered: "
            f"{type(error).__name__}: {error}"
        )


@dataclass(frozen=True)
class TemplateComparison:
    """Whether two artifacts are asked the same way.

    Attributes
    ----------
    equal
        The same template, and the same values of the special tokens that it uses.
    same_prompt
        A probe message has the same prompt under both; None where one of them cannot render it.
    differences
        What differs, in words; empty when equal.
    """

    equal: bool
    same_prompt: bool | None
    differences: tuple[str, ...]


def read_template(
    path: Path, *, artifact: str | None = None, named: str | None = None
) -> ChatTemplate:
    """The chat template of an artifact: a Hugging Face folder, a GGUF file or a folder with one.

    Parameters
    ----------
    path
        Where the artifact is (`Fetched.path`).
    artifact
        Its name in messages; else the file's.
    named
        A template of `NAMED` instead of the artifact's own: a design asks for it for a model that
        has none.

    Raises
    ------
    NotTestableHere
        The artifact has no chat template, which is said with what to do.
    UserError
        A file cannot be read, or `named` is not known.
    """
    who = artifact or path.name
    inside = path / GGUF_INSIDE
    if path.is_file() or inside.is_file():
        text, source, tokens = _from_gguf(path if path.is_file() else inside)
    elif path.is_dir():
        text, source, tokens = _from_folder(path)
    else:
        raise UserError(f"artifact {who}: {path} does not exist")
    if named is not None:
        if named not in NAMED:
            raise UserError(f"chat template {named!r} is not known; there are: {', '.join(NAMED)}")
        text, source = NAMED[named], f"named {named}"
    if text is None:
        raise NotTestableHere(
            f"artifact {who} has no chat template; choose an instruction-tuned model, name a "
            f"template for it ({', '.join(NAMED)}), or, where it was converted and the template "
            "left behind, read that of the artifact it was made from"
        )
    return ChatTemplate(who, source, text, tokens)


def compare_templates(one: ChatTemplate, other: ChatTemplate) -> TemplateComparison:
    """Compare two artifacts of one model: their templates, tokens, and the prompts they make."""
    differences = []
    if one.text != other.text:
        differences.append(f"the templates differ {_first_difference(one, other)}")
    for token in sorted((one.used | other.used) & {f"{name}_token" for name in TOKENS}):
        mine, theirs = one.tokens.get(token), other.tokens.get(token)
        if mine != theirs:
            said = (f"{mine!r} in {one.artifact}", f"{theirs!r} in {other.artifact}")
            differences.append(f"{token} is {' and '.join(said)}")
    try:
        same = one.prompt(PROBE).text == other.prompt(PROBE).text
    except UserError:
        return TemplateComparison(not differences, None, tuple(differences))
    return TemplateComparison(not differences, same, tuple(differences))


def _first_difference(one: ChatTemplate, other: ChatTemplate) -> str:
    pairs = zip(one.text, other.text, strict=False)
    shorter = min(len(one.text), len(other.text))
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)
    said = [f"{t.text[at : at + 40]!r} in {t.artifact}" for t in (one, other)]
    return f"from character {at + 1} on: {' and '.join(said)}"


def _from_folder(folder: Path) -> tuple[str | None, str, dict[str, str]]:
    """The template's own file wins over the one in the tokenizer's settings, as in Transformers."""
    tokens: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        tokens |= _json(folder / name)
    own = folder / "chat_template.jinja"
    template = tokens.get("chat_template")
    if isinstance(template, list):  # [{"name": "default", "template": "..."}, ...]
        template = next((t["template"] for t in template if t.get("name") == "default"), None)
    source = f"{folder.name}/tokenizer_config.json"
    if own.is_file():
        template, source = _text(own), f"{folder.name}/{own.name}"
    values = {f"{name}_token": tokens.get(f"{name}_token") for name in TOKENS}
    # a token may be an object with how it is matched
    plain = {key: v["content"] if isinstance(v, dict) else v for key, v in values.items() if v}
    return template, source, plain


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(_text(path))
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    return content if isinstance(content, dict) else {}


def _from_gguf(path: Path) -> tuple[str | None, str, dict[str, str]]:
    found = metadata(path, {GGUF_TEMPLATE, GGUF_TOKENS, *GGUF_IDS.values()})
    names = found.get(GGUF_TOKENS, [])
    tokens = {
        f"{name}_token": names[found[key]].decode(errors="replace")
        for name, key in GGUF_IDS.items()
        if found.get(key, len(names)) < len(names)
    }
    template = found.get(GGUF_TEMPLATE)
    return template and template.decode(), path.name, tokens


class _Generation(Extension):
    """`{% generation %}` marks what a model wrote, for training; here its content is kept."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))


def _environment() -> ImmutableSandboxedEnvironment:
    """The environment of Transformers 5 (`utils/chat_template_utils.py`), with a fixed clock."""

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson  # jinja's own escapes for HTML
    environment.globals |= {"raise_exception": raise_exception, "strftime_now": DATE.strftime}
    return environment
