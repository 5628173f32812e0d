"""`inferometer meters`: which meters this machine offers, and what they read now."""

import argparse
import json
import os
import time
from dataclasses import asdict
from typing import Any

from inferometer.errors import UserError
from inferometer.meters import memory
from inferometer.meters.base import Device
from inferometer.meters.energy import REASONS, EnergyWindow
from inferometer.meters.inventory import Inventory, available
from inferometer.meters.sampler import PERIOD_S, Timeline, sampling

DEVICES: tuple[Device, ...] = ("gpu", "cpu")
LEAD_S = 2 * PERIOD_S
"""Sampled before the window begins, so that a sample lies at or before its start."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--gpu", type=int, default=0, help="which of the visible GPUs (default 0)")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="how long to sample, for power (default 1)"
    )


def run_command(args: argparse.Namespace) -> int:
    """Sample every meter for a moment, and print a row for each, absent ones with the reason."""
    if not 0 < args.seconds <= 3600:
        raise UserError(f"--seconds {args.seconds:g}: must be above 0 and at most 3600")
    if args.gpu < 0:
        raise UserError(f"--gpu {args.gpu}: GPUs are counted from 0")
    found = available(args.gpu, [os.getpid()])
    with sampling(found.meters) as timeline:
        time.sleep(LEAD_S)
        start_s = time.monotonic()
        time.sleep(args.seconds)
        windows = {
            device: timeline.window(start_s, start_s + args.seconds, device) for device in DEVICES
        }
    if args.json:
        print(json.dumps(_plain(found, timeline, windows), indent=1))
    else:
        _show(found, timeline, windows)
    return 0


def _plain(
    found: Inventory, timeline: Timeline, windows: dict[Device, EnergyWindow]
) -> dict[str, Any]:
    losses = timeline.losses
    limits = memory.capacity()
    return {
        "meters": [
            {
                "meter": meter.name,
                "state": "lost" if meter.name in losses else "works",
                "reason": losses[meter.name].reason if meter.name in losses else None,
                "reading": timeline.readings(meter.name)[-1].to_dict(),
            }
            for meter in found.meters
        ]
        + [
            {"meter": kind, "state": "absent", "reason": reason, "reading": None}
            for kind, reason in found.absent.items()
        ],
        "energy": {device: window.to_record() for device, window in windows.items()},
        "energy_note": found.energy_note(),
        "memory": {
            **asdict(limits),
            "effective_bytes": limits.effective_bytes,
            "limited_by": limits.limited_by,
        },
        "sampling_cpu_fraction": timeline.cost.fraction,
    }


def _show(found: Inventory, timeline: Timeline, windows: dict[Device, EnergyWindow]) -> None:
    from rich.console import Console
    from rich.table import Table

    plain = _plain(found, timeline, windows)
    table = Table("meter", "state", "reading now")
    for row in plain["meters"]:
        values = row["reading"]["values"] if row["reading"] else {}
        words = [_words(name, value) for name, value in values.items()]
        alerts = row["reading"]["reasons"] if row["state"] == "works" else []
        name = row["meter"].replace(f"memory:{os.getpid()}", "memory (this process)")
        table.add_row(name, row["state"], row["reason"] or ", ".join([*words, *alerts]))
    limits = plain["memory"]
    words = [_words(name, limits[name]) for name in limits if name.endswith("_bytes")]
    table.add_row("memory limits", f"by {limits['limited_by']}", ", ".join(words))
    console = Console()
    console.print(table)
    without = [device for device in windows if found.energy_note(device)]
    for device, window in windows.items():
        if device not in without:
            console.print(f"{device}: {_energy(window)}", highlight=False)
    if without:  # the table has the reasons
        console.print(f"no energy of {' and '.join(without)}: see the absent meters above")
    console.print(f"sampling took {timeline.cost.fraction:.2%} of one core", highlight=False)


def _energy(window: EnergyWindow) -> str:
    if window.mean_power_w is None:
        return f"no energy: {'; '.join(REASONS[reason] for reason in window.reasons)}"
    return f"{window.mean_power_w:.1f} W over {window.end_s - window.start_s:g} s, {window.source}"


def _words(name: str, value: Any) -> str:
    quantity, _, unit = name.rpartition("_")
    if value is None:
        return f"{quantity.replace('_', ' ')} none"
    if unit == "bytes":
        return f"{quantity.replace('_', ' ')} {value / 2**20:,.0f} MiB"
    if isinstance(value, list):
        return f"{name.replace('_', ' ')}: {' '.join(value) or 'none'}"
    short = {"j": "J", "w": "W", "mhz": "MHz", "c": "°C", "percent": "%"}[unit]
    return f"{quantity.replace('_', ' ')} {value:,g} {short}"
