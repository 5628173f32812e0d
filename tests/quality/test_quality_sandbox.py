"""Generated code in its sandbox: real processes, real limits."""

import socket
from pathlib import Path

import pytest

from inferometer.quality import sandbox
from inferometer.quality.items import CodeItem
from inferometer.quality.sandbox import Limits, namespaces, run_checks, score_code

SHORT = Limits(cpu_s=1, wall_s=2.0, memory_bytes=256 << 20, file_bytes=1 << 16)
ITEM = CodeItem(
    id="x",
    signature='def double(n: int) -> int:\n    """Return twice n."""\n',
    entry_point="double",
    checks="assert double(2) == 4\nassert double(-1) == -2\n",
    solution="def double(n):\n    return 2 * n\n",
)


def run(code: str, checks: str = "assert f() is None"):
    return run_checks(code, checks, SHORT)


def test_a_right_and_a_wrong_function() -> None:
    assert run("def f(): return 3", "assert f() == 3").status == "passed"
    wrong = run("def f(): return 4", "x = 1\nassert f() == 3")
    assert wrong.status == "failed"
    assert "`assert f() == 3`" in wrong.detail
    broken = run("def f(): return 1 / 0")
    assert broken.status == "error"
    assert "ZeroDivisionError" in broken.detail


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        ("    while True: pass", {"cpu"}),
        ("    import time; time.sleep(60)", {"timeout"}),
        (
            "    while True:\n        try: pass\n        except BaseException: pass",
            {"cpu", "ended"},
        ),
        ("    return [0] * 10**9", {"memory"}),
        ("    open('big', 'wb').write(b'x' * 10**6)", {"file_size"}),
        ("    import os; os._exit(0)", {"ended"}),
        ("    raise SystemExit(0)", {"error"}),
        ("    import sys; sys.setrecursionlimit(10**9); return f()", {"ended", "error", "memory"}),
        ("    return input()", {"error"}),
        ("    raise AssertionError", {"failed"}),
    ],
)
def test_what_never_ends_or_takes_too_much_is_a_result(body: str, statuses: set[str]) -> None:
    result = run(f"def f():\n{body}\n")
    assert result.status in statuses
    assert result.wall_s < 6


def test_files_stay_in_a_folder_that_goes(tmp_path: Path) -> None:
    inside = run("def f():\n    open('note.txt', 'w').write('x')\n")
    assert (inside.status, inside.files) == ("passed", ("note.txt",))
    target = tmp_path / "outside.txt"
    outside = run(f"def f():\n    open({str(target)!r}, 'w').write('x')\n")
    assert outside.status == "forbidden"
    assert str(target) in outside.detail
    assert not target.exists()
    many = run("def f():\n    for k in range(99): open(f'{k}', 'w')\n")
    assert many.status == "forbidden"


def test_removing_what_is_there_is_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("x")
    for code in (f"os.remove({str(kept)!r})", f"__import__('shutil').rmtree({str(tmp_path)!r})"):
        assert run(f"import os\ndef f():\n    {code}\n").status == "forbidden"
    assert kept.exists()


def test_what_was_tried_is_said_also_where_the_error_was_taken() -> None:
    code = "import os\ndef f():\n    try: os.system('true')\n    except Exception: pass\n"
    result = run(code)
    assert result.status == "passed"
    assert result.denied == ("os.system",)


def test_no_network() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket\ndef f():\n    socket.create_connection(('127.0.0.1', {port}), 1)\n"
        assert run(code).status == "forbidden"


@pytest.mark.skipif(not namespaces(), reason="this machine makes no namespaces")
def test_namespaces_hold_where_the_rules_do_not_look(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("x")
    result = run("def f():\n    return open('/proc/net/dev').read()\n", "assert 'eth' not in f()")
    assert (result.status, result.isolated) == ("passed", True)
    # the audit event of os.open does not say which folder a path is relative to
    code = (
        f"import os\ndef f():\n    at = os.open({str(tmp_path)!r}, os.O_RDONLY)\n"
        "    os.close(os.open('kept', os.O_WRONLY | os.O_TRUNC, dir_fd=at))\n"
    )
    result = run(code)
    assert (result.status, "Read-only" in result.detail) == ("error", True)
    assert (tmp_path / "kept").read_text() == "x"


def test_answers_of_models() -> None:
    assert score_code(f"Here it is:\n```python\n{ITEM.solution}```", ITEM, SHORT).value == 1
    assert score_code("    return 2 * n", ITEM, SHORT).value == 1
    wrong = score_code("    return n", ITEM, SHORT)
    assert (wrong.value, wrong.status) == (0, "ok")
    assert wrong.reason is not None
    assert wrong.reason.startswith("failed")
    assert score_code("I cannot do that.", ITEM, SHORT).status == "invalid"
    assert score_code(" \n", ITEM, SHORT).status == "empty"


def test_without_namespaces_the_limits_and_rules_still_hold(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sandbox, "namespaces", tuple)
    passed = run("def f(): pass\n")
    assert (passed.status, passed.isolated) == ("passed", False)
    assert run("def f():\n    while True: pass\n").status == "cpu"
    assert run(f"def f():\n    open({str(tmp_path / 'x')!r}, 'w')\n").status == "forbidden"
