"""Both collectors read the same work to the same table, and refuse what they cannot read."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from profilers import traces

from inferometer.errors import UserError
from inferometer.profilers import derived, kineto, nsys_export, table

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = ["start_ns", "end_ns", "kind", "class", "stream", "device", "correlation", "graph_node"]
SHARED += ["bytes", "phase", "request"]


@pytest.fixture(params=["nsys", "kineto", "kineto.gz"])
def gpu(request, tmp_path):
    if request.param == "nsys":
        return nsys_export.read_sqlite(traces.nsys(tmp_path / "t.sqlite"), ("kernel", "range"))
    return kineto.read_trace(traces.kineto(tmp_path / f"t.{request.param}"), ("kernel", "range"))


def test_both_collectors_give_one_table(tmp_path):
    one = nsys_export.read_sqlite(traces.nsys(tmp_path / "t.sqlite")).rows
    other = kineto.read_trace(traces.kineto(tmp_path / "t.json")).rows
    key = ["start_ns", "kind", "stream", "correlation"]
    first, second = (
        rows.astype({"kind": "str", "class": "str", "stream": "str", "phase": "str",
                     "request": "str"}).sort_values(key)[SHARED].reset_index(drop=True)
        for rows in (one, other)
    )  # fmt: skip
    pd.testing.assert_frame_equal(first, second)


def test_published_wrong_answers_do_not_come_back(gpu):
    found = derived.derive(gpu, tokens=2, window=(0, 400))
    assert found.max_concurrency == 2
    assert found.busy_ns == 150 + 10 + 40
    assert found.busy_fraction == 0.5
    assert found.busy_ns_by_stream == {"900/1/13": 100, "900/1/7": 150}
    assert found.gaps_ns == pytest.approx((20, 28, 29.8))
    assert found.kernels_per_token == 2
    assert found.launches_per_token == 1.5
    assert found.memory_operation_ns == 10
    assert found.memory_operation_bytes == 4096
    assert found.time_by_class["time_ns"].to_dict() == {
        "gemm": 100, "attention": 100, "unknown": 40, "memcpy": 10,
    }  # fmt: skip
    assert found.unknown_share == 40 / 250


def test_device_work_belongs_to_the_range_that_launched_it(gpu):
    rows = gpu.of("kernel").set_index("start_ns")
    assert rows["phase"].to_dict() == {
        100: "prefill", 150: "decode", 300: "decode", 340: "decode"
    }  # fmt: skip
    assert rows["request"].dropna().to_dict() == {300: "4", 340: "4"}
    assert rows["graph_node"].dropna().to_dict() == {300: 5, 340: 6}


def test_untraced_is_none_and_not_zero():
    cpu = kineto.read_trace(FIXTURES / "kineto_2.13_cpu.json.gz", ("operator", "range"))
    found = derived.derive(cpu, tokens=6)
    assert found.work == "host"
    assert found.kernels_per_token is None
    assert found.launches_per_token is None
    assert found.memory_operation_ns is None
    assert found.untraced == ("kernel", "runtime_call")


def test_real_kineto_trace_of_a_cpu():
    cpu = kineto.read_trace(FIXTURES / "kineto_2.13_cpu.json.gz")
    operators = cpu.of("operator")
    assert len(operators) == 768
    assert operators["phase"].value_counts().to_dict() == {"decode": 508, "prefill": 260}
    assert operators["request"].value_counts().to_dict() == {"0": 384, "1": 384}
    found = derived.derive(cpu, tokens=6)
    assert found.operators_per_token == 128
    assert found.max_concurrency == 1
    assert found.time_by_class["time_ns"].sum() == found.busy_ns
    assert found.unknown_share < 0.1


def test_real_nsys_trace_of_a_cpu():
    cpu = nsys_export.read_sqlite(FIXTURES / "nsys_2022.4_cpu.sqlite", ("range", "os_call"))
    assert cpu.collector_version == "2022.4.2.1 (schema 3.0.0)"
    assert cpu.traced == {"range", "os_call"}
    syncs = cpu.rows[cpu.rows["name"] == "fsync"]
    assert syncs.groupby("request", observed=True).size().to_dict() == {"10": 3, "11": 3, "12": 3}
    assert set(syncs["phase"]) == {"decode"}
    with pytest.raises(UserError, match="neither device work nor operators"):
        derived.derive(cpu, tokens=3)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("alter table CUPTI_ACTIVITY_KIND_KERNEL drop column streamId", "no column streamId"),
        ("alter table CUPTI_ACTIVITY_KIND_KERNEL drop column start", "no column start"),
        ("alter table CUPTI_ACTIVITY_KIND_KERNEL drop column graphNodeId", "graphNodeId"),
        ("alter table NVTX_EVENTS drop column eventType", "no column eventType"),
        ("drop table CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_KERNEL is missing"),
        ("delete from CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_KERNEL has no rows"),
        ("create table CUPTI_ACTIVITY_KIND_GRAPH_TRACE (a)", "--cuda-graph-trace=node"),
        ("drop table EXPORT_META_DATA", "no table EXPORT_META_DATA"),
        ("drop table StringIds", "no table StringIds"),
        ("update EXPORT_META_DATA set value = '4.1.0'", "version 4.1.0"),
        ("update CUPTI_ACTIVITY_KIND_KERNEL set end = start - 1", "end before they start"),
    ],
)
def test_export_of_another_layout_is_an_error_that_names_it(tmp_path, statement, said):
    path = traces.nsys(tmp_path / "t.sqlite", statement)
    with pytest.raises(UserError, match=said) as caught:
        nsys_export.read_sqlite(path, ("kernel",))
    assert str(path) in str(caught.value)


def test_newer_export_calls_its_metadata_otherwise(tmp_path):
    renamed = "alter table EXPORT_META_DATA rename to META_DATA_EXPORT"
    newer = "update META_DATA_EXPORT set value = '3.15.1'"
    path = traces.nsys(tmp_path / "t.sqlite", renamed, newer)
    assert nsys_export.read_sqlite(path).collector_version == "unknown (schema 3.15.1)"


def test_empty_truncated_and_foreign_exports(tmp_path):
    tables = ("KERNEL", "MEMCPY", "RUNTIME")
    emptied = [f"delete from CUPTI_ACTIVITY_KIND_{name}" for name in tables]
    empty = traces.nsys(tmp_path / "e.sqlite", *emptied, "delete from NVTX_EVENTS")
    with pytest.raises(UserError, match="holds no events"):
        nsys_export.read_sqlite(empty)
    cut = tmp_path / "cut.sqlite"
    cut.write_bytes((FIXTURES / "nsys_2022.4_cpu.sqlite").read_bytes()[:9000])
    with pytest.raises(UserError, match="truncated or no SQLite file"):
        nsys_export.read_sqlite(cut)
    foreign = tmp_path / "foreign.sqlite"
    foreign.write_text("a,b\n1,2\n" * 200)
    with pytest.raises(UserError, match="truncated or no SQLite file"):
        nsys_export.read_sqlite(foreign)
    with pytest.raises(UserError, match="no such file"):
        nsys_export.read_sqlite(tmp_path / "absent.sqlite")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schemaVersion": 2}, "schemaVersion 2"),
        ({"traceEvents": []}, "holds no events"),
        ({"traceEvents": None}, "no traceEvents"),
        ({"traceEvents": {}}, "no Kineto trace"),
        ({"traceEvents": [traces.event("kernel", "k", 0, 5)]}, "no args.stream"),
        ({"traceEvents": [traces.event("cpu_op", "aten::mm", 0, 5)]}, "no kernel events"),
        ({"traceEvents": [traces.event("cpu_op", "aten::mm", 9, 5)]}, "end before they start"),
        ({"traceEvents": [{"ph": "X", "cat": "cpu_op", "name": "a", "pid": 1, "tid": 1}]}, "ts"),
        ({"traceEvents": [traces.event("cpu_op", "a", 0, 5) | {"pid": "x"}]}, "pid or tid"),
        ({"traceEvents": [{"ph": "X", "cat": "cpu_op"}]}, "not as Kineto writes it"),
    ],
)
def test_trace_of_another_layout_is_an_error_that_names_it(tmp_path, change, said):
    path = traces.kineto(tmp_path / "t.json", **change)
    require = ("kernel",) if said == "no kernel events" else ()
    with pytest.raises(UserError, match=said) as caught:
        kineto.read_trace(path, require)
    assert str(path) in str(caught.value)


def test_truncated_kineto_traces(tmp_path):
    whole = (FIXTURES / "kineto_2.13_cpu.json.gz").read_bytes()
    packed = tmp_path / "cut.json.gz"
    packed.write_bytes(whole[:6000])
    with pytest.raises(UserError, match="cannot be read"):
        kineto.read_trace(packed)
    plain = traces.kineto(tmp_path / "t.json")
    plain.write_bytes(plain.read_bytes()[:500])
    with pytest.raises(UserError, match="truncated or no JSON"):
        kineto.read_trace(plain)


def test_times_late_in_the_clock_stay_exact(tmp_path):
    path = tmp_path / "t.json"
    text = json.dumps({"schemaVersion": 1, "traceEvents": [traces.event("cpu_op", "a", 0, 7)]})
    path.write_text(text.replace('"ts": 0.0', '"ts": 4385601389344.937'))
    assert kineto.read_trace(path).rows["start_ns"].tolist() == [4385601389344937]


def test_table_survives_parquet(gpu, tmp_path):
    table.write(gpu, tmp_path / "k.parquet")
    back = table.read(tmp_path / "k.parquet")
    pd.testing.assert_frame_equal(back.rows, gpu.rows, check_categorical=False)
    assert (back.collector, back.traced) == (gpu.collector, gpu.traced)


def test_parquet_that_is_no_kernel_table(gpu, tmp_path):
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no kernel table"):
        table.read(tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_text("PAR1")
    with pytest.raises(UserError, match="cannot be read as parquet"):
        table.read(tmp_path / "b.parquet")
    with pytest.raises(UserError, match="no column stream"):
        table.validate(gpu.rows.drop(columns="stream"), "here")


def test_processes_stay_apart(tmp_path):
    path = traces.nsys(tmp_path / "t.sqlite")
    with closing(sqlite3.connect(path)) as base:
        base.execute("update CUPTI_ACTIVITY_KIND_KERNEL set globalPid = ?", (77 << 24,))
        base.execute("update CUPTI_ACTIVITY_KIND_RUNTIME set globalTid = ?", ((77 << 24) + 78,))
        base.commit()
    other = nsys_export.read_sqlite(path)
    one = nsys_export.read_sqlite(traces.nsys(tmp_path / "u.sqlite"))
    both = table.concat([one, other])
    assert derived.derive(both, tokens=4).max_concurrency == 4
    assert both.of("runtime_call")["correlation"].is_unique
    with pytest.raises(UserError, match="one collector"):
        table.concat([one, kineto.read_trace(FIXTURES / "kineto_2.13_cpu.json.gz")])
