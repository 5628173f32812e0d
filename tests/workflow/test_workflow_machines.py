import os
import re

import pytest

OTHER = ("taskset", "-c", "0")
"""One core less is another machine: a real change of the fingerprint."""
more_than_one = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")


@more_than_one
def test_another_machine_measures_everything_and_leaves_the_old_results(measured):
    before = {path: path.read_bytes() for path in measured.raw_files()}
    planned = measured.planned(prefix=OTHER)
    assert planned["measure"] == 4
    assert {path: path.read_bytes() for path in measured.raw_files()} == before


def test_evidence_of_another_machine_renders_and_audits_anywhere(measured):
    machine = measured.machine
    (measured.root / "reports" / "tr129.md").unlink()
    config = ("--config", "depth=quick", f"machine={machine}")
    done = measured.snakemake("reports/tr129.md", *config, prefix=OTHER)
    assert done.rc == 0, done.text
    assert "measure" not in re.findall(r"Rule: (\w+)", done.text)
    assert machine in (measured.root / "reports" / "tr129.md").read_text()
    audit = measured.inferometer("audit", prefix=OTHER)
    assert audit.rc == 0, audit.text


def test_a_machine_without_evidence_is_named_with_those_that_have_some(measured):
    config = ("--config", "depth=quick", "machine=nowhere-1c-2g-000000")
    done = measured.snakemake("reports/tr129.md", *config)
    assert done.rc != 0
    assert "nowhere-1c-2g-000000 has no evidence" in done.text
    assert measured.machine in done.text


@more_than_one
def test_the_worker_refuses_to_measure_for_another_machine(measured):
    words = ("tr129", "--sut", "llamacpp-serial", "--block", "0", "--depth", "quick")
    done = measured.inferometer("measure", *words, "--machine", measured.machine, prefix=OTHER)
    assert done.rc == 1
    (message,) = done.messages()
    assert measured.machine in message


@pytest.mark.parametrize("page", ["tr129.md", "tr129.evidence.md"])
def test_one_edited_number_fails_the_audit_with_its_line(measured, page):
    path = measured.root / "reports" / page
    lines = path.read_text().splitlines(keepends=True)
    pattern = r"(\d)(\d* tokens/s)" if page == "tr129.md" else r"(\d)(\.\d+)"
    number, line = next(
        (n, text) for n, text in enumerate(lines) if n > 3 and re.search(pattern, text)
    )
    lines[number] = re.sub(pattern, lambda m: str((int(m[1]) + 1) % 10) + m[2], line, count=1)
    path.write_text("".join(lines))
    done = measured.inferometer("audit")
    assert done.rc == 1
    assert re.search(rf"{re.escape(page)}: line {number + 1}\b", done.text), done.text
