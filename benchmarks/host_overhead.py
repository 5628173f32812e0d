"""What our recording costs: decode in the Transformers worker beside a plain loop, in turns.

Both run in the stack's environment with the same model, prompt, threads and precision, each in a
process of its own; only one works at a time. The plain loop takes the time once around all its
steps. The median ratio must be within 3 % of 1, with its interval:

    python benchmarks/host_overhead.py [--artifact smollm2-135m-f32 | --folder MODEL] [--rounds 31]
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from inferometer import environments
from inferometer.artifacts import catalog, fetch
from inferometer.stacks.local import threads_of
from inferometer.stacks.server import free_port, running
from inferometer.stacks.transformers import Transformers, TransformersSettings
from inferometer.stacks.worker import WorkerClient

ROOT = Path(__file__).parents[1]
BOUND = 0.03
PLAIN = """
import json, sys, time, torch
from transformers import AutoModelForCausalLM, DynamicCache
folder, threads = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(threads)
torch.set_num_interop_threads(1)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
for line in sys.stdin:
    prompt, steps = json.loads(line)
    with torch.inference_mode():
        ids, cache = torch.tensor([prompt]), DynamicCache(config=model.config)
        token = model(ids, past_key_values=cache, logits_to_keep=1).logits[:, -1:].argmax(-1)
        begun = time.monotonic()
        for _ in range(steps):
            token = model(token, past_key_values=cache, logits_to_keep=1).logits[:, -1:].argmax(-1)
        print(json.dumps([time.monotonic() - begun, int(token)]), flush=True)
"""


@contextmanager
def plain_loop(python: Path, folder: Path, threads: int) -> Iterator[subprocess.Popen]:
    command = [str(python), "-c", PLAIN, str(folder), str(threads)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def by_hand(process: subprocess.Popen, prompt: list[int], steps: int) -> tuple[float, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps([prompt, steps]) + "\n")
    process.stdin.flush()
    wall_s, token = json.loads(process.stdout.readline())
    return steps / wall_s, token


async def by_worker(client: WorkerClient, prompt: list[int], steps: int) -> tuple[float, int]:
    answer = await client.generate(prompt, steps + 1, cache=True)
    decode = answer["parts"][1]
    return decode["tokens"] / decode["wall_s"], answer["output_ids"][-1]


async def compare(folder: Path, rounds: int, prompt_tokens: int, steps: int) -> list[list[float]]:
    """Tokens per second of the worker and of the plain loop; who is first alternates."""
    settings = TransformersSettings(device="cpu")
    python = environments.ensure(ROOT, "transformers").python
    stack = Transformers()
    launch = stack.launch(settings, folder, python, free_port())
    rng = random.Random(1)
    rates = []
    with TemporaryDirectory() as logs, plain_loop(python, folder, threads_of(settings)) as process:
        async with (
            running(stack, settings, launch, Path(logs) / "log", ready_limit_s=180) as server,
            WorkerClient(server.base_url, 300, time.monotonic(), server) as client,
        ):
            words = server.read_back["vocabulary"]
            for turn in range(rounds + 1):
                prompt = [rng.randrange(words) for _ in range(prompt_tokens)]
                if turn % 2:
                    plain, plain_token = by_hand(process, prompt, steps)
                    ours, our_token = await by_worker(client, prompt, steps)
                else:
                    ours, our_token = await by_worker(client, prompt, steps)
                    plain, plain_token = by_hand(process, prompt, steps)
                assert our_token == plain_token, "the two loops made different tokens"
                if turn:  # the first one warms both up
                    rates.append([ours, plain])
    return rates


def median_interval(values: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median from order statistics: other load cannot shift it far."""
    rank = max(1, int(binom.ppf(0.025, len(values), 0.5)))
    ordered = sorted(values)
    return ordered[rank - 1], ordered[-rank]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--artifact", default="smollm2-135m-f32", help="a model of the catalog")
    parser.add_argument("--folder", type=Path, help="a model folder, instead of an artifact")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--steps", type=int, default=24)
    args = parser.parse_args()
    folder = args.folder or fetch.fetch(args.artifact, catalog.shipped(), ROOT).path
    rates = asyncio.run(compare(folder, args.rounds, args.prompt_tokens, args.steps))
    table = Table("round", "worker, tokens/s", "plain loop, tokens/s", "ratio")
    ratios = [ours / plain for ours, plain in rates]
    for number, ((ours, plain), ratio) in enumerate(zip(rates, ratios, strict=True), 1):
        table.add_row(str(number), f"{ours:.2f}", f"{plain:.2f}", f"{ratio:.4f}")
    middle = median(ratios)
    low, high = median_interval(ratios)
    table.add_row("median", *(f"{median(column):.2f}" for column in zip(*rates, strict=True)), "")
    Console().print(table)
    if low >= 1 - BOUND and high <= 1 + BOUND:
        verdict = "within"
    else:
        verdict = "BEYOND" if low > 1 + BOUND or high < 1 - BOUND else "undecided (noise) against"
    print(
        f"median ratio {middle:.4f}, 95 % interval {low:.4f} to {high:.4f}: "
        f"{verdict} the bound of {BOUND:.0%}"
    )
    return 0 if verdict == "within" else 1


if __name__ == "__main__":
    sys.exit(main())
