"""Read a folder of claims: what is valid is kept, what is not becomes a problem with its fix."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inferometer.claims import expression
from inferometer.claims.expression import Value
from inferometer.claims.functions import FUNCTIONS
from inferometer.claims.schema import Claim, Constant, ConstantsFile, Source
from inferometer.design import validated
from inferometer.economics.architecture import Architecture
from inferometer.errors import UserError

CONSTANTS_FILE = "constants.yaml"
FILE_KEYS = ("schema_version", "source", "claims")
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is 8x faster


@dataclass(frozen=True)
class Constants:
    """The table of sourced constants: values for expressions, provenance for reports."""

    values: dict[str, Value]
    sources: dict[str, Constant]


@dataclass(frozen=True)
class Entry:
    """A valid claim with the document and the file that it comes from."""

    claim: Claim
    source: Source
    file: Path

    @property
    def where(self) -> str:
        """How messages name the entry: file and id."""
        return f"{self.file}: {self.claim.id}"


@dataclass(frozen=True)
class Registry:
    """All valid claims of a folder, in file order, and what was wrong with the others."""

    entries: list[Entry]
    sources: dict[str, Source]
    constants: Constants
    problems: list[str] = field(default_factory=list)

    def __getitem__(self, claim: str) -> Entry:
        for entry in self.entries:
            if entry.claim.id == claim:
                return entry
        raise UserError(f"no claim {claim!r}; `inferometer claims` lists the ids")


def load(folder: Path) -> Registry:
    """Read every `*.yaml` of the folder; raises `UserError` only when nothing can be read."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; name the registry with --claims")
    constants = read_constants(folder / CONSTANTS_FILE)
    entries: dict[str, Entry] = {}
    sources: dict[str, Source] = {}
    problems: list[str] = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name != CONSTANTS_FILE:
            _read_file(path, constants, entries, sources, problems)
    return Registry(list(entries.values()), sources, constants, problems)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping; raises `UserError` that names the file and the line."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=SafeLoader)
    except FileNotFoundError:
        raise UserError(f"{path}: missing") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text ({error.reason})") from None
    except OSError as error:
        raise UserError(f"{path}: cannot read ({error.strerror})") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values at the top")
    return content


def read_constants(path: Path) -> Constants:
    """The table of constants; raises `UserError` that lists every wrong key."""
    table = validated(ConstantsFile, read_yaml(path), str(path))
    values: dict[str, Value] = {}
    sources: dict[str, Constant] = {}
    for name, constant in table.constants.items():
        values[name] = constant.value
        sources[name] = constant
    for name, shape in table.architectures.items():
        if name in values:
            raise UserError(f"{path}: architectures.{name}: also a constant; rename one")
        values[name] = Architecture(
            name=name,
            layers=shape.layers,
            heads=shape.heads,
            kv_heads=shape.kv_heads,
            head_dim=shape.head_dim,
            hidden=shape.hidden,
            params=shape.params,
            active_params=shape.active_params or shape.params,
            kv_layers=shape.kv_layers or shape.layers,
            positions=shape.positions,
        )
        sources[name] = Constant(
            value=f"{shape.layers} layers, {shape.kv_heads} KV heads of {shape.head_dim}, "
            f"{shape.params / 1e9:.4g} B weights, {shape.positions} positions",
            unit="architecture",
            what=f"shape of {name}",
            status=shape.status,
            source=shape.source,
            seen=shape.seen,
        )
    return Constants(values, sources)


def _read_file(
    path: Path,
    constants: Constants,
    entries: dict[str, Entry],
    sources: dict[str, Source],
    problems: list[str],
) -> None:
    try:
        content = read_yaml(path)
        source = _header(path, content)
    except UserError as error:
        problems.append(str(error))
        return
    if source.id in sources:
        problems.append(f"{path}: source.id: {source.id!r} is taken by another file; rename it")
        return
    sources[source.id] = source
    for position, raw in enumerate(content["claims"]):
        name = raw.get("id") if isinstance(raw, dict) else None
        where = f"{path}: {name or f'claims.{position}'}"
        try:
            entry = Entry(validated(Claim, raw, where), source, path)
            if entry.claim.id in entries:
                raise UserError(f"{where}: id: used twice; ids are unique over all files")
            _check_names(entry, constants)
        except UserError as error:
            problems.append(str(error))
        else:
            entries[entry.claim.id] = entry


def _header(path: Path, content: dict[str, Any]) -> Source:
    for key in FILE_KEYS:
        if key not in content:
            raise UserError(f"{path}: {key}: missing; a registry has {', '.join(FILE_KEYS)}")
    unknown = sorted(set(content) - set(FILE_KEYS))
    if unknown:
        raise UserError(f"{path}: {unknown[0]}: unknown key; known: {', '.join(FILE_KEYS)}")
    if content["schema_version"] != 1:
        raise UserError(f"{path}: schema_version: {content['schema_version']!r}; use 1")
    if not isinstance(content["claims"], list):
        raise UserError(f"{path}: claims: expected a list of entries")
    return validated(Source, content["source"], f"{path}: source")


def _check_names(entry: Entry, constants: Constants) -> None:
    """Refuse unknown names, and names that hide a constant, before anything is computed."""
    claim = entry.claim
    known = set(quantity_values(claim))
    hidden = sorted((known | _step_names(claim)) & set(constants.values))
    if hidden:
        raise UserError(f"{entry.where}: {hidden[0]!r} hides the constant; choose another name")
    for key, text in _written(claim):
        tree_names = expression.names(text)
        unknown = sorted(tree_names - known - set(constants.values))
        if unknown:
            raise UserError(
                f"{entry.where}: {key}: unknown name {unknown[0]!r} in {text!r}; it knows the "
                f"claim's {', '.join(sorted(known)) or 'no quantities'}, and {CONSTANTS_FILE}"
            )
        unknown = sorted(expression.calls(text) - set(FUNCTIONS))
        if unknown:
            raise UserError(
                f"{entry.where}: {key}: unknown function {unknown[0]!r}; docs/claims.md lists them"
            )
        if key.startswith("check.steps."):
            known.add(key.removeprefix("check.steps."))


def _step_names(claim: Claim) -> set[str]:
    return {step.name for step in claim.check.steps} if claim.check else set()


def _written(claim: Claim) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if claim.check:
        found += [(f"check.steps.{step.name}", step.expr) for step in claim.check.steps]
        found += [(f"check.tests.{at}", test.expr) for at, test in enumerate(claim.check.tests)]
    if claim.binding:
        for key in ("expected", "low", "high"):
            if text := getattr(claim.binding, key):
                found.append((f"binding.{key}", text))
    return found


def quantity_values(claim: Claim) -> dict[str, Value]:
    """The claim's quantities under the names that its expressions use."""
    values: dict[str, Value] = {}
    for quantity in claim.quantities:
        if isinstance(quantity.value, tuple):
            values[f"{quantity.name}_low"], values[f"{quantity.name}_high"] = quantity.value
        else:
            values[quantity.name] = quantity.value
    return values
