"""nsys itself: a real profile of a program with NVTX ranges, and what is said without it."""

import os
import statistics
import sys
from pathlib import Path

import pytest
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.errors import NotTestableHere, UserError
from inferometer.profilers import derived, kineto, nsys, nsys_export
from inferometer.profilers.table import KernelTable

PROGRAM = Path(__file__).parent / "ranges.py"
BOTH = Path(__file__).parent / "both.py"


def installed() -> nsys.Installation:
    try:
        return nsys.find()
    except NotTestableHere as reason:
        pytest.skip(str(reason))


def stand_in(folder: Path, script: str) -> None:
    """A program named nsys that answers as told: stands in for other machines' nsys."""
    path = folder / "nsys"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.timeout(120)
def test_real_profile_holds_the_capture_range_and_nothing_else(tmp_path):
    found = installed()
    pytest.importorskip("nvtx", reason="nvtx is not installed (pip install nvtx==0.2.11)")
    export = nsys.profile(
        found, [sys.executable, str(PROGRAM)], tmp_path / "t", nsys.Capture("steady"),
        trace=("nvtx", "osrt"), limit_s=60,
    )  # fmt: skip
    rows = nsys_export.read_sqlite(export, ("range", "os_call")).rows
    sleeps = rows[rows["name"].isin(["clock_nanosleep", "nanosleep", "select"])]
    assert sleeps.groupby("request", observed=True).size().to_dict() == {"10": 1, "11": 1, "12": 1}
    assert set(sleeps["phase"]) == {"prefill"}
    assert (sleeps["duration_ns"] >= 4_000_000).all()
    assert set(rows["request"].dropna()) == {"10", "11", "12"}


def steady(seen: KernelTable) -> KernelTable:
    """What began inside the range "steady": nsys captured nothing else, Kineto did."""
    (span,) = seen.rows[seen.rows["name"] == "steady"].to_dict("records")
    inside = seen.rows["start_ns"].between(span["start_ns"], span["end_ns"])
    rows = seen.rows[inside & (seen.rows["name"] != "steady")]
    return KernelTable(rows, seen.collector, seen.collector_version, seen.traced)


@pytest.mark.timeout(120)
def test_both_collectors_agree_on_one_run(tmp_path):
    """Phases have the same count and times; nsys's sleeps are the gaps of Kineto's operators."""
    found = installed()
    nvtx = pytest.importorskip("nvtx", reason="nvtx is not installed (pip install nvtx==0.2.11)")
    python = environments.ensure(REPOSITORY, "transformers").python
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "nvtx").symlink_to(Path(nvtx.__file__).parent)
    trace = tmp_path / "t.json"
    program = ["env", f"PYTHONPATH={tmp_path / 'path'}", str(python), str(BOTH), str(trace)]
    export = nsys.profile(
        found, program, tmp_path / "t", nsys.Capture("steady"), trace=("nvtx", "osrt"), limit_s=90
    )
    one = steady(nsys_export.read_sqlite(export, ("range", "os_call")))
    other = steady(kineto.read_trace(trace, ("range", "operator")))
    apart_ns: list[float] = []
    for phase, count in (("prefill", 2), ("decode", 6)):
        spans = [
            seen.rows.loc[seen.rows["name"] == f"phase/{phase}", "duration_ns"].to_numpy()
            for seen in (one, other)
        ]
        assert [len(lengths) for lengths in spans] == [count, count]
        apart_ns += list(abs(spans[1] - spans[0]))
        sleeps = one.rows[one.rows["name"].isin(["clock_nanosleep", "nanosleep", "select"])]
        slept_ns = sleeps.loc[sleeps["phase"] == phase, "duration_ns"].sum()
        work = derived.derive(other, 1, phase=phase)
        products = work.time_by_class.loc["gemm", "calls"]
        assert products == count * (6 if phase == "prefill" else 2)
        assert slept_ns >= count * 40_000_000
        assert work.window_ns - work.busy_ns >= slept_ns
        assert work.window_ns - work.busy_ns == pytest.approx(slept_ns, rel=0.2)
    # the process may lose its processor between the two marks of one range, hardly of all
    assert statistics.median(apart_ns) < 300_000


@pytest.mark.timeout(120)
def test_capture_that_never_opens_is_an_error(tmp_path):
    found = installed()
    with pytest.raises(UserError, match="capture range never opened"):
        nsys.profile(
            found, [sys.executable, "-c", "import time; time.sleep(.2)"], tmp_path / "t",
            nsys.Capture("steady"), trace=("nvtx", "osrt"), limit_s=60,
        )  # fmt: skip


def test_broken_reports_are_errors(tmp_path):
    found = installed()
    (tmp_path / "t.qdstrm").write_bytes(b"no stream")
    with pytest.raises(UserError, match="cannot be imported"):
        nsys.report(found, tmp_path / "t")
    (tmp_path / "u.nsys-rep").write_bytes(b"no report")
    with pytest.raises(UserError, match="cannot be exported"):
        nsys.export(found, nsys.report(found, tmp_path / "u"))


def test_absent_nsys_is_not_testable_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotTestableHere, match="not installed"):
        nsys.find()


def test_nsys_that_fails_forbids_or_hangs(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    stand_in(tmp_path, "echo broken library >&2; exit 127")
    with pytest.raises(NotTestableHere, match="broken library"):
        nsys.find()
    stand_in(tmp_path, 'test "$1" = --version && echo "NVIDIA Nsight Systems version 2025.1"')
    found = nsys.find()
    assert found.version == "2025.1"
    for script, error, said in (
        ("echo 'Operation not permitted' >&2; exit 1", NotTestableHere, "may not record"),
        ("echo out of disk >&2; exit 1", UserError, "out of disk"),
        ("sleep 60", UserError, "longer than 0.5 s"),
    ):
        stand_in(tmp_path, script)
        with pytest.raises(error, match=said):
            nsys.profile(found, ["true"], tmp_path / "t", nsys.Capture("steady"), limit_s=0.5)


def test_command_traces_graph_nodes_inside_a_capture_range(tmp_path):
    found = nsys.Installation(Path("/opt/nsys"), None, "2025.1")
    by_range = nsys.profile_command(found, ["python", "x.py"], tmp_path, nsys.Capture("steady"))
    assert {"--cuda-graph-trace=node", "--capture-range=nvtx"} <= set(by_range)
    assert "--nvtx-capture=steady@*" in by_range
    assert by_range[-2:] == ["python", "x.py"]
    by_call = nsys.profile_command(found, ["x"], tmp_path, nsys.Capture(None), trace=("osrt",))
    assert "--capture-range=cudaProfilerApi" in by_call
    assert "--cuda-graph-trace=node" not in by_call
