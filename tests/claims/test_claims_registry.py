from pathlib import Path

import pytest
import yaml

from inferometer.claims import registry, verdicts
from inferometer.errors import UserError

CONSTANTS = """
schema_version: 1
architectures:
  tiny: {layers: 4, heads: 8, kv_heads: 2, head_dim: 16, hidden: 128, params: 1.0e6,
         positions: 100, status: sourced, source: here, seen: 2026-01-01}
constants:
  bus: {value: 100, unit: GB/s, what: a bus, status: sourced, source: here, seen: 2026-01-01}
  guess: {value: 50, unit: GB/s, what: a guess, status: unsourced, source: memory,
          seen: 2026-01-01}
"""
GOOD = {
    "id": "good",
    "locator": "1",
    "statement": "A statement.",
    "kind": "arithmetic",
    "quantities": [{"name": "rate", "value": 60, "unit": "tok/s"}],
    "needs": ["arithmetic-only"],
    "experiment": "none",
    "check": {"tests": [{"expr": "rate <= bus", "role": "bound"}]},
}
SOURCE = {"id": "doc", "title": "T", "dated": "2026", "document": "report", "about": "a"}


def folder(tmp_path: Path, *entries: dict, source: dict | None = None) -> Path:
    (tmp_path / "constants.yaml").write_text(CONSTANTS)
    content = {"schema_version": 1, "source": source or SOURCE, "claims": list(entries)}
    (tmp_path / "doc.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return tmp_path


def bad(**changes: object) -> dict:
    return {**GOOD, "id": "bad", **changes}


def without(key: str) -> dict:
    return {name: value for name, value in bad().items() if name != key}


def checked(expr: str, role: str = "bound", **steps: object) -> dict:
    return bad(check={"tests": [{"expr": expr, "role": role}]} | steps)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (without("statement"), "bad: statement: Field required"),
        (without("quantities"), "bad: quantities: Field required"),
        (bad(quantities=[{"name": "rate", "value": 60}]), "bad: quantities.0.unit: Field required"),
        (bad(quantities=[{"name": "rate", "value": 60, "unit": ""}]), "quantities.0.unit"),
        (bad(quantities=[{"name": "x", "value": [9, 1], "unit": "s"}]), "smaller end first"),
        (bad(quantities=[{"name": "x", "value": float("nan"), "unit": "s"}]), "quantities.0.value"),
        (bad(quantities=[{"name": "bus", "value": 1, "unit": "s"}]), "'bus' hides the constant"),
        (bad(kind="rumour"), "bad: kind"),
        (bad(needs=["luck"]), "bad: needs.0"),
        (bad(verdict="consistent"), "bad: verdict: unknown key; known: id"),
        (bad(id="Bad id"), "Bad id: id"),
        (checked("rate <= speed"), "unknown name 'speed' in 'rate <= speed'"),
        (checked("rate <= fetch(1)"), "unknown function 'fetch'; docs/claims.md lists them"),
        (checked("rate.real <= 1"), "attribute access is not arithmetic"),
        (checked("__import__('os')"), "not arithmetic"),
        (checked("rate <= bus", role="proof"), "bad: check.tests.0.role"),
        (checked("rate <= x", steps=[{"name": "y", "expr": "1"}]), "unknown name 'x'"),
        (checked("1 < y", steps=[{"name": "y", "expr": "z"}, {"name": "z", "expr": "1"}]), "'z'"),
        (checked("1 < y", steps=[{"name": "sum", "expr": "1"}]), "is a function's name"),
        (checked("1 < rate", steps=[{"name": "rate", "expr": "1"}]), "used twice"),
        (bad(check={"tests": []}), "bad: check.tests"),
        (bad(binding={"finding": "x", "relation": "at_least", "scope": "any"}), "binding.finding"),
        (
            bad(binding={"finding": "tr1.a", "relation": "within", "low": "1", "scope": "any"}),
            "relation within needs low and high",
        ),
        (
            bad(
                binding={
                    "finding": "tr1.a",
                    "relation": "at_least",
                    "expected": "1",
                    "scope": "same-machine",
                }
            ),
            "scope same-machine and the key machine go together",
        ),
    ],
)
def test_a_bad_entry_is_named_and_the_others_are_judged(
    tmp_path: Path, entry: dict, words: str
) -> None:
    judged = verdicts.judge_folder(folder(tmp_path, entry, GOOD), tmp_path / "results")
    assert [item.claim.id for item in judged.judged] == ["good"]
    assert judged["good"].verdict == "plausible"
    assert len(judged.problems) >= 1
    assert str(tmp_path / "doc.yaml") in judged.problems[0]
    assert words in "\n".join(judged.problems)


@pytest.mark.parametrize(
    ("expr", "words"),
    [
        ("rate / (rate - rate) < 1", "check.tests.0: 'rate / (rate - rate) < 1': "),
        ("rate + 1", "is no test; compare two values"),
        ("rate ** 999 > 1", "exponents beyond 64"),
        ("tiny < 1", "tiny is Architecture, not a number"),
    ],
)
def test_an_entry_that_cannot_be_computed_keeps_its_reason(
    tmp_path: Path, expr: str, words: str
) -> None:
    judged = verdicts.judge_folder(folder(tmp_path, checked(expr), GOOD), tmp_path / "results")
    assert judged["bad"].verdict == "not judged"
    assert words in judged["bad"].reason
    assert f"{tmp_path / 'doc.yaml'}: bad: " in judged["bad"].reason
    assert judged["good"].verdict == "plausible"


def test_ids_are_unique_over_files(tmp_path: Path) -> None:
    where = folder(tmp_path, GOOD)
    other = {"schema_version": 1, "source": {**SOURCE, "id": "doc2"}, "claims": [GOOD]}
    (where / "more.yaml").write_text(yaml.safe_dump(other))
    loaded = registry.load(where)
    assert loaded.problems == [
        f"{where / 'more.yaml'}: good: id: used twice; ids are unique over all files"
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("claims: []", "schema_version: missing"),
        ("schema_version: 1\nclaims: []", "source: missing"),
        ("schema_version: 2\nsource: {}\nclaims: []", "schema_version: 2; use 1"),
        ("schema_version: 1\nsource: {}\nclaims: []\nextra: 1", "extra: unknown key"),
        ("schema_version: 1\nsource: {id: x}\nclaims: []", "source: title: Field required"),
        ("schema_version: 1\nsource: {}\nclaims: 3", "claims: expected a list"),
        ("- 1", "expected keys and values"),
        ("a: [", "not YAML"),
        ("\xff", "not"),
    ],
)
def test_a_broken_file_does_not_stop_the_others(tmp_path: Path, text: str, words: str) -> None:
    where = folder(tmp_path, GOOD)
    (where / "broken.yaml").write_bytes(text.encode("latin-1"))
    loaded = registry.load(where)
    assert len(loaded.entries) == 1
    assert len(loaded.problems) == 1
    assert str(where / "broken.yaml") in loaded.problems[0]
    assert words in loaded.problems[0]


def test_missing_registry_and_constants(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder; name the registry with --claims"):
        registry.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"constants.yaml: missing"):
        registry.load(tmp_path)


def test_a_constant_needs_unit_source_and_date(tmp_path: Path) -> None:
    where = folder(tmp_path, GOOD)
    text = CONSTANTS.replace("unit: GB/s, what: a bus", "what: a bus")
    (where / "constants.yaml").write_text(text.replace("seen: 2026-01-01}\n  guess", "}\n  guess"))
    with pytest.raises(UserError) as error:
        registry.load(where)
    assert "constants.bus.unit: Field required" in str(error.value)
    assert "constants.bus.seen: Field required" in str(error.value)
