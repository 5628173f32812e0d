from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferometer.economics import prices
from inferometer.errors import UserError

SHIPPED = Path(__file__).parents[2] / prices.PRICES_FILE
WRITTEN = {"date": "2026-06-01", "source": "a list"}


def minimal() -> dict[str, Any]:
    return {
        "schema_version": 1,
        "stale_after_days": 100,
        "tiers": {
            "cloud": WRITTEN
            | {"title": "t", "per_hour": 1.0, "currency": "USD", "hardware": "h", "devices": ["X9"]}
        },
        "machines": {
            "desk": WRITTEN
            | {"title": "t", "price": 8760, "currency": "USD", "years": 1, "hardware": "h"}
        },
        "electricity": WRITTEN | {"per_kwh": 0.2, "currency": "USD"},
        "carbon": WRITTEN | {"g_per_kwh": 500},
    }


def read(tmp_path: Path, content: Any) -> prices.Prices:
    path = tmp_path / "prices.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return prices.load(path)


def test_the_shipped_file_is_valid_and_says_nothing_of_the_users_machine() -> None:
    shipped = prices.load(SHIPPED)
    assert shipped.this_machine is None
    assert shipped.own() is None
    assert shipped.tiers["aws-g5-xlarge"].per_hour == 1.006


@pytest.mark.parametrize(
    ("section", "key"),
    [("tiers", "date"), ("tiers", "currency"), ("tiers", "source"), ("machines", "currency")],
)
@pytest.mark.parametrize("how", ["left out", "null"])
def test_a_price_without_date_currency_or_source(
    tmp_path: Path, section: str, key: str, how: str
) -> None:
    content = minimal()
    entry = dict(next(iter(content[section].values())))
    entry.pop(key) if how == "left out" else entry.update({key: None})
    content[section] = {"mine": entry}
    with pytest.raises(UserError, match=rf"prices\.yaml: {section}\.mine: {key} is missing; give"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("electricity", {"currency": "dollars"}, r"electricity\.currency: .*pattern"),
        ("electricity", {"per_kwh": -1}, r"electricity\.per_kwh"),
        ("electricity", {"per_kwh": float("nan")}, r"electricity\.per_kwh"),
        ("carbon", {"date": "yesterday"}, r"carbon\.date"),
        ("carbon", {"gram": 1}, r"carbon\.gram: unknown key; known: date, source, g_per_kwh"),
    ],
)
def test_wrong_values_are_named(
    tmp_path: Path, section: str, change: dict[str, Any], message: str
) -> None:
    content = minimal()
    content[section] = content[section] | change
    with pytest.raises(UserError, match=message):
        read(tmp_path, content)


def test_files_that_are_no_price_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing; copy it"):
        prices.load(tmp_path / "none.yaml")
    with pytest.raises(UserError, match="expected keys and values"):
        read(tmp_path, "- a list")
    with pytest.raises(UserError, match="not YAML"):
        read(tmp_path, "a: [")
    with pytest.raises(UserError, match="a date that does not exist"):
        read(tmp_path, "date: 2026-02-30")


def test_this_machine_must_be_listed(tmp_path: Path) -> None:
    mine = read(tmp_path, minimal() | {"this_machine": "desk"})
    assert mine.own() is mine.machines["desk"]
    assert read(tmp_path, minimal() | {"this_machine": "cloud"}).own() is not None
    with pytest.raises(UserError, match=r"this_machine: 'laptop' is not listed; .*cloud, desk"):
        read(tmp_path, minimal() | {"this_machine": "laptop"})


def test_a_name_is_a_tier_or_a_machine(tmp_path: Path) -> None:
    content = minimal()
    content["machines"]["cloud"] = content["machines"]["desk"]
    with pytest.raises(UserError, match="both a tier and a machine"):
        read(tmp_path, content)


def test_age_counts_from_the_measurement(tmp_path: Path) -> None:
    known = read(tmp_path, minimal())
    assert known.notes(date(2026, 9, 9)) == []  # 100 days
    stale = known.notes(date(2026, 9, 10))
    assert len(stale) == 4
    assert stale[0] == (
        "tiers.cloud: of 2026-06-01, 101 days before the measurement; stale after 100"
    )
    assert "1 days after the measurement" in known.notes(date(2026, 5, 31))[0]


def test_a_price_for_other_hardware_is_noted(tmp_path: Path) -> None:
    known = read(tmp_path, minimal())
    assert prices.hardware_note(known.tiers["cloud"], "Maker x9 24GB") is None
    note = prices.hardware_note(known.machines["desk"], "Maker X9")
    assert note == "priced for h; the speed is that of Maker X9"
