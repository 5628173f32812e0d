"""The contract of served stacks, on every real server that runs here."""

import asyncio

import contract
import pytest

STACKS = [
    "llamacpp",
    pytest.param("openvino", marks=pytest.mark.slow),
    pytest.param("transformers_serving", marks=pytest.mark.slow),
]
PROMPTS = ["The capital of France is", "def fibonacci(n):\n", "Water boils at", "Once upon a time"]
OUTPUT_TOKENS = 32
END = "<|im_end|>"


@pytest.mark.parametrize("name", STACKS)
def test_a_serial_server(kind, tmp_path, name):
    chosen = kind(name, 1)
    long = 700 if name == "llamacpp" else 400

    async def main() -> None:
        async with contract.serving(**vars(chosen), log=tmp_path / "log") as served:
            await contract.lengths_are_exact(served)
            await contract.the_end_of_sequence_is_ignored(served)
            await contract.tokens_come_one_by_one(served)
            await contract.timings_are_the_servers(served)
            await contract.two_at_once(served, together=False)
            await contract.a_client_that_leaves_frees_its_place(served, long)

    asyncio.run(main())


@pytest.mark.parametrize("name", STACKS)
def test_a_batching_server(kind, tmp_path, name):
    async def main() -> None:
        async with contract.serving(**vars(kind(name, 2)), log=tmp_path / "log") as served:
            await contract.two_at_once(served, together=True)
            await contract.lengths_are_exact(served)
            await contract.an_answer_may_end_by_itself(served)

    asyncio.run(main())


@pytest.mark.slow
def test_the_same_weights_give_the_same_text_on_every_stack(kind, tmp_path):
    """Greedy, float32 weights, arithmetic and cache everywhere.

    Up to the end of sequence: llama.cpp ignores it by making it impossible, the others by going on.
    """
    chosen = {
        "llamacpp": kind("llamacpp", 1, "smollm2-135m-f32-gguf", kv_type="f32"),
        "openvino": kind("openvino", 1, "smollm2-135m-f32-openvino", kv_cache_precision="f32"),
        "transformers_serving": kind("transformers_serving", 1, "smollm2-135m-f32"),
    }

    async def main() -> dict[str, list[str]]:
        said: dict[str, list[str]] = {}
        prompts: list[list[int]] = []
        for name, each in chosen.items():
            async with contract.serving(**vars(each), log=tmp_path / name) as served:
                if not prompts:
                    client = served.client
                    for text in PROMPTS:
                        tokens = await client.dialect.tokenize(client.http, client.base_url, text)
                        prompts.append(tokens)
                said[name] = [await served.text(prompt, OUTPUT_TOKENS) for prompt in prompts]
        return said

    said = asyncio.run(main())
    assert all(len(text) > OUTPUT_TOKENS for text in said["llamacpp"])
    for name, texts in said.items():
        for text, other in zip(texts, said["llamacpp"], strict=True):
            until = text.find(END)
            assert text[:until] == other[:until] if until >= 0 else text == other, name
