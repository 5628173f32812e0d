import pytest

from inferometer.analysis import _stack_version


@pytest.mark.parametrize(
    ("stack", "freeze", "shown"),
    [
        ("llamacpp", ["pip==23.2.1", "xllamacpp==2026.10.11549"], "xllamacpp==2026.10.11549"),
        ("llamacpp", ["llama_cpp_python==0.4.1", "numpy==2.4.6"], "llama_cpp_python==0.4.1"),
        ("transformers", ["Jinja2==3.1.6", "transformers==5.19.0"], "transformers==5.19.0"),
        (
            "openvino",
            ["OpenVINO==1.0", "openvino-genai==1.1"],
            "OpenVINO==1.0, openvino-genai==1.1",
        ),
        ("vllm", ["vllm==0.20.0+cpu", "torch==2.13.0+cpu"], "vllm==0.20.0+cpu"),
        ("transformers_agents", ["torch==2.13.0", "transformers==5.19.0"], "transformers==5.19.0"),
        ("llamacpp", ["pip==23.2.1"], "version unknown"),
    ],
)
def test_a_stack_is_shown_with_the_pins_of_its_own_packages(stack, freeze, shown):
    server = {"stack": stack, "environment": {"freeze": freeze}}
    assert _stack_version(server) == f"{stack} ({shown})"


@pytest.mark.parametrize(
    ("stack", "read_back", "shown"),
    [
        ("llamacpp_inprocess", {"library": "cyllama 0.2.18, llama.cpp b64739e"}, None),
        ("ollama", {"version": "0.9.6"}, "0.9.6"),
    ],
)
def test_a_stack_without_pins_of_its_own_is_shown_as_it_describes_itself(stack, read_back, shown):
    server = {"stack": stack, "environment": {"freeze": ["cyllama==0.2.18"]}}
    shown = shown or read_back["library"]
    assert _stack_version(server | {"read_back": read_back}) == f"{stack} ({shown})"


def test_a_server_of_the_users_own_has_no_known_version():
    assert _stack_version({"stack": "url", "environment": None}) == "url (version unknown)"
