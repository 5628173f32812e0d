"""Prices and emission factors: `config/prices.yaml`, each figure with its date and source."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from inferometer.design import validated
from inferometer.errors import UserError

PRICES_FILE = Path("config/prices.yaml")
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.\-]*$")]
REMEDIES = {
    "date": "the day on which the figure was true, as YYYY-MM-DD",
    "source": "where it was read, so that a reader can check it",
    "currency": "a three-letter code such as USD",
}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Dated(_Section):
    """A figure that was true on a day, as a source says."""

    date: date
    source: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _says_where_from(cls, content: Any) -> Any:
        if isinstance(content, dict):
            for key, remedy in REMEDIES.items():
                if key in cls.model_fields and content.get(key) in (None, ""):
                    raise ValueError(f"{key} is missing; give {remedy}")
        return content


class Tier(Dated):
    """A machine for rent; its price per hour contains the electricity.

    `hardware` is what the price is for; `devices` are words of which one occurs in the device name
    of a machine of that kind (empty: none is recognised).
    """

    title: str
    per_hour: float = Field(gt=0)
    currency: Currency
    hardware: str
    devices: list[str] = []


class Electricity(Dated):
    """Price of a kilowatt-hour, for hardware that its user owns."""

    per_kwh: float = Field(ge=0)
    currency: Currency


class Carbon(Dated):
    """Grams of CO2 equivalent per kilowatt-hour of the grid."""

    g_per_kwh: float = Field(ge=0)


class OwnedMachine(Dated):
    """A machine that was bought: its price and the years over which it is written off."""

    title: str
    price: float = Field(gt=0)
    currency: Currency
    years: float = Field(gt=0)
    hardware: str
    devices: list[str] = []


class Prices(_Section):
    """The whole file. `this_machine` names the tier or machine that the measured one is."""

    schema_version: Literal[1]
    stale_after_days: int = Field(gt=0)
    tiers: dict[Name, Tier]
    machines: dict[Name, OwnedMachine]
    electricity: Electricity
    carbon: Carbon
    this_machine: str | None = None

    @model_validator(mode="after")
    def _names_known(self) -> Self:
        if twice := sorted(self.tiers.keys() & self.machines.keys()):
            raise ValueError(f"{twice[0]!r} is both a tier and a machine; rename one")
        known = [*self.tiers, *self.machines]
        if self.this_machine is not None and self.this_machine not in known:
            raise ValueError(
                f"this_machine: {self.this_machine!r} is not listed; add it under tiers (rented) "
                f"or machines (bought), or use one of: {', '.join(known)}"
            )
        return self

    def own(self) -> Tier | OwnedMachine | None:
        """What the user says the measured machine costs; `None` where the user has not said."""
        name = self.this_machine
        return None if name is None else self.tiers.get(name) or self.machines[name]

    def notes(self, measured: date) -> list[str]:
        """A line for each figure that is stale, or younger than the measurement."""
        figures: dict[str, Dated] = {
            **{f"tiers.{name}": tier for name, tier in self.tiers.items()},
            **{f"machines.{name}": machine for name, machine in self.machines.items()},
            "electricity": self.electricity,
            "carbon": self.carbon,
        }
        found = (
            age_note(name, figure, measured, self.stale_after_days)
            for name, figure in figures.items()
        )
        return [note for note in found if note]


def age_note(name: str, figure: Dated, measured: date, stale_after_days: int) -> str | None:
    """Say that a figure is too old for a measurement of that day, or was not yet true."""
    days = (measured - figure.date).days
    if days > stale_after_days:
        return (
            f"{name}: of {figure.date}, {days} days before the measurement; "
            f"stale after {stale_after_days}"
        )
    if days < 0:
        return f"{name}: of {figure.date}, {-days} days after the measurement"
    return None


def hardware_note(priced: Tier | OwnedMachine, device_name: str) -> str | None:
    """Say that a price is for other hardware than was measured.

    Such a cost is that of this machine's speed at that machine's price, not a cost of using it.
    """
    if any(word.lower() in device_name.lower() for word in priced.devices):
        return None
    return f"priced for {priced.hardware}; the speed is that of {device_name}"


def load(path: Path = PRICES_FILE) -> Prices:
    """Read and check a price file; `UserError` names file, key and fix."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: missing; copy it from the repository") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    except ValueError as error:  # PyYAML: an impossible date such as 2026-02-30
        raise UserError(f"{path}: a date that does not exist: {error}; use YYYY-MM-DD") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected keys and values; copy the file from the repository")
    return validated(Prices, content, str(path))
