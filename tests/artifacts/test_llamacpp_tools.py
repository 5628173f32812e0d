"""Building programs with the real cmake and compiler: a small project, not llama.cpp's minutes."""

import pytest
import yaml
from checkouts import REPOSITORY

from inferometer import environments
from inferometer.artifacts import llamacpp_tools as tools
from inferometer.errors import NotTestableHere, UserError

PROJECT = """
cmake_minimum_required(VERSION 3.14)
project(small CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_executable(llama-server main.cpp)
"""
GOOD = '#include <cstdio>\nint main() { std::puts("version: 7 (small)"); }\n'
BROKEN = "int main() { return nothing_known; }\n"
SERVER = ("llama-server",)


@pytest.fixture(scope="module")
def python():
    return environments.ensure(REPOSITORY, tools.ENVIRONMENT).python


@pytest.fixture
def small(cache, monkeypatch):
    """The build of one program from sources that the test writes."""
    monkeypatch.setattr(tools, "PROGRAMS", SERVER)
    monkeypatch.setattr(tools.shutil, "which", lambda name: None if name in SERVER else f"/{name}")

    def write(code):
        def unpacked(draft):
            sources = draft / "sources"
            sources.mkdir()
            (sources / "CMakeLists.txt").write_text(PROJECT)
            (sources / "main.cpp").write_text(code)
            return sources

        monkeypatch.setattr(tools, "unpacked", unpacked)

    return write


def test_a_build_leaves_the_program_and_its_record_and_is_used_again(small, python):
    small(GOOD)
    assert tools.ready("llama-server") is None
    found = tools.tool("llama-server", python)
    assert (found.version, found.origin) == ("version: 7 (small)", "built here")
    assert sorted(path.name for path in found.path.parent.iterdir()) == [
        "llama-server",
        "made.json",
    ]
    before = found.path.stat().st_mtime_ns
    small(BROKEN)
    assert tools.tool("llama-server", python).path.stat().st_mtime_ns == before


def test_a_failed_build_names_its_log_and_leaves_nothing_half_made(small, python):
    small(BROKEN)
    with pytest.raises(
        UserError, match=r"the build failed .*nothing_known.*all of it is in "
    ) as seen:
        tools.tool("llama-server", python)
    log = tools.place().with_suffix(".log")
    assert str(log) in str(seen.value)
    assert "nothing_known" in log.read_text()
    assert not tools.place().exists()
    assert not [path for path in log.parent.iterdir() if path.is_dir()]


def test_another_compiler_or_option_is_another_build(cache, monkeypatch):
    places = {tools.place()}
    monkeypatch.setitem(tools.OPTIONS, "GGML_NATIVE", "OFF")
    places.add(tools.place())
    monkeypatch.setenv("CXX", "/bin/true")
    places.add(tools.place())
    assert len(places) == 3
    assert tools.place() in places


def test_without_a_compiler_the_package_to_install_is_named(cache, python, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotTestableHere, match=r"llama-server is not on PATH.*build-essential"):
        tools.tool("llama-server", python)
    assert tools.ready("llama-server") is None


def test_a_program_on_path_is_used_and_its_version_recorded(cache, python, monkeypatch, tmp_path):
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\necho version: 9 of somebody >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = tools.tool("llama-server", python)
    assert found == tools.Tool(program, "version: 9 of somebody", "PATH")


@pytest.mark.slow
def test_the_sources_are_those_of_the_sdist(tmp_path):
    sources = tools.unpacked(tmp_path)
    assert "LLAMA_BUILD_UI" in (sources / "CMakeLists.txt").read_text()
    assert (sources / "tools" / "server" / "main.cpp").is_file()


@pytest.mark.parametrize("name", ["llamacpp-tools", "quantize"])
def test_the_conda_twin_has_the_same_pins(name):
    text = (REPOSITORY / "envs" / f"{name}.txt").read_text().splitlines()
    pins = [line for line in text if not line.startswith("#")]
    twin = yaml.safe_load((REPOSITORY / "envs" / f"{name}.yaml").read_text())
    assert twin["dependencies"][-1] == {"pip": pins}
    assert all("==" in pin for pin in pins)
