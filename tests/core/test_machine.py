import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict

import pytest

from inferometer import machine


def shown(*prefix: str) -> dict:
    command = [*prefix, sys.executable, "-m", "inferometer", "machine", "--json"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_the_id_is_readable_and_names_cores_and_memory():
    found = machine.identity()
    name = machine.machine_id(found)
    assert re.fullmatch(rf"[a-z0-9.\-]+-{found.cores}c-{found.ram_gib}g-[0-9a-f]{{6}}", name)


def test_the_id_is_the_same_in_another_process():
    here = machine.identity()
    there = shown()
    assert there["id"] == machine.machine_id(here)
    assert there["identity"] == json.loads(json.dumps(asdict(here)))


@pytest.mark.skipif(shutil.which("taskset") is None, reason="needs taskset")
@pytest.mark.skipif(machine.identity().threads < 2, reason="needs two processors")
def test_fewer_processors_are_another_machine():
    assert shown("taskset", "-c", "0")["id"] != machine.current_id()
    assert shown("taskset", "-c", "0")["identity"]["threads"] == 1


def test_volatile_readings_and_software_are_no_part_of_the_id():
    there = shown()
    volatile = {"monotonic_s", "unix_s", "cpu_mhz", "load_average", "memory_available_mib"}
    assert volatile <= set(there["readings"])
    assert not set(there["identity"]) & (volatile | set(there["software"]))
    assert there["readings"]["load_average"]
    assert there["software"]["kernel"]


def test_the_table_for_people_shows_the_id():
    command = [sys.executable, "-m", "inferometer", "machine"]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert machine.current_id() in done.stdout
