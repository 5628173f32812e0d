from pathlib import Path

import pytest

from inferometer.claims import judge, registry
from inferometer.claims.registry import Entry
from inferometer.claims.schema import Claim, Source

HERE = Path(__file__).parents[2]
CONSTANTS = registry.read_constants(HERE / "claims" / "constants.yaml")
SOURCE = Source(id="doc", title="T", dated="2026", document="report", about="a")


def entry(tests: list[dict], steps: list[dict] | None = None, **quantities: float) -> Entry:
    claim = Claim.model_validate(
        {
            "id": "one",
            "locator": "1",
            "statement": "S.",
            "kind": "arithmetic",
            "quantities": [
                {"name": name, "value": value, "unit": "u"} for name, value in quantities.items()
            ],
            "needs": ["arithmetic-only"],
            "experiment": "none",
            "check": {"steps": steps or [], "tests": tests},
        }
    )
    return Entry(claim, SOURCE, Path("doc.yaml"))


def result(item: Entry) -> judge.CheckResult:
    found = judge.check(item, CONSTANTS)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("role", "holds", "fails"),
    [
        ("identity", "consistent", "inconsistent"),
        ("limit", "consistent", "impossible"),
        ("bound", "plausible", "impossible"),
        ("support", "plausible", "inconsistent"),
    ],
)
def test_each_role_decides(role: str, holds: str, fails: str) -> None:
    assert result(entry([{"expr": "a <= 3", "role": role}], a=3)).verdict == holds
    assert result(entry([{"expr": "a <= 3", "role": role}], a=4)).verdict == fails


def test_the_gravest_test_gives_the_verdict_and_the_largest_factor() -> None:
    tests = [
        {"expr": "a <= 10", "role": "identity"},
        {"expr": "a <= 2", "role": "bound"},
        {"expr": "a <= 4", "role": "limit"},
        {"expr": "a <= 1", "role": "identity"},
    ]
    found = result(entry(tests, a=8))
    assert found.verdict == "impossible"
    assert found.factor == 4
    assert len(found.deciding) == 2


def test_ranges_get_two_names_and_steps_build_on_steps() -> None:
    item = entry(
        [{"expr": "top <= x_low", "role": "identity"}],
        [{"name": "half", "expr": "x_high/2"}, {"name": "top", "expr": "half + 1", "unit": "s"}],
        x=(4, 6),  # type: ignore[arg-type]
    )
    found = result(item)
    assert [step.value for step in found.steps] == ["3", "4"]
    assert found.steps[1].numbers == "3 + 1"
    assert found.verdict == "consistent"


def test_a_verdict_that_hangs_on_an_unsourced_constant_says_so() -> None:
    weak = {"expr": "a <= rtx4080_laptop_fp16", "role": "bound"}
    strong = {"expr": "a <= rtx4080_laptop_bandwidth", "role": "bound"}
    assert result(entry([weak], a=100)).weak == ("rtx4080_laptop_fp16",)
    assert result(entry([weak, strong], a=1000)).weak == ()  # fails without the weak test too
    assert result(entry([weak, strong], a=1)).weak == ("rtx4080_laptop_fp16",)  # needs both
    assert result(entry([strong], a=1)).constants == ("rtx4080_laptop_bandwidth",)


def test_constants_are_found_behind_steps() -> None:
    item = entry(
        [{"expr": "a < twice", "role": "bound"}],
        [
            {"name": "once", "expr": "kv_bytes(llama31_8b, 1, 1)"},
            {"name": "twice", "expr": "2*once"},
        ],
        a=1,
    )
    assert result(item).constants == ("llama31_8b",)
    assert result(item).tests[0].against == "published facts (llama31_8b)"


def test_words_are_compared_as_coded() -> None:
    item = entry([{"expr": "same(a, b)", "role": "identity", "against": "section 2"}])
    claim = item.claim.model_copy(
        update={
            "quantities": [
                *Claim.model_validate(
                    {
                        **item.claim.model_dump(exclude={"check"}),
                        "quantities": [
                            {"name": "a", "value": "Q8_0", "unit": "level"},
                            {"name": "b", "value": "FP16", "unit": "level"},
                        ],
                    }
                ).quantities
            ]
        }
    )
    found = result(Entry(claim, SOURCE, Path("doc.yaml")))
    assert (found.verdict, found.factor) == ("inconsistent", None)
    assert found.tests[0].numbers == "same(Q8_0, FP16)"
