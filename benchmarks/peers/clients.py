"""How each client is started, and what it exports; all are told the same load and nothing else."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from client_limits import OUTPUT_TOKENS, PROMPT_TOKENS

from inferometer import environments
from inferometer.load.calibration_server import MODEL

from . import reported

ROOT = Path(__file__).parents[2]
WARM_UP = 10
"""Requests before the measured ones; ours sends .5 s of them."""

VLLM_BENCH = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\n"
    "add_cli_args(parser)\n"
    "main(parser.parse_args())\n"
)
"""`vllm bench serve`; the program `vllm` itself does not start from the CPU build's package."""


@dataclass(frozen=True)
class Run:
    """A load: requests at a rate with Poisson arrivals, at a server; `folder` takes the export."""

    url: str
    rate_per_s: float
    requests: int
    seed: int
    tokenizer: Path
    folder: Path


@dataclass(frozen=True)
class Client:
    """A load generator; `environment` is `None` for ours, which runs in this interpreter.

    `leading` are the requests at the start of its export that only warm it up.
    """

    name: str
    environment: str | None
    arguments: Callable[[Run], list[str]]
    read: Callable[[Path], reported.Reported]
    offline: bool = True
    leading: int = 0

    def require(self) -> None:
        """Raise `UserError` where the environment is not made."""
        if self.environment is not None:
            environments.load(ROOT, self.environment)

    def command(self, run: Run) -> list[str]:
        """The whole command line; `UserError` where the environment is not made."""
        if self.environment is None:
            return [sys.executable, *self.arguments(run)]
        python = environments.load(ROOT, self.environment).python
        program, *rest = self.arguments(run)
        return [str(python if program == "python" else python.with_name(program)), *rest]

    def variables(self) -> dict[str, str]:
        """The environment variables that it runs with."""
        kept = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"}
        offline = {"HF_HUB_OFFLINE": "1"} if self.offline else {}
        return kept | offline | {"TOKENIZERS_PARALLELISM": "false"}


def _ours(run: Run) -> list[str]:
    words = (run.url, run.rate_per_s, run.requests, run.seed, run.folder)
    return ["-m", "peers.ours", *map(str, words)]


def _vllm(run: Run) -> list[str]:
    return [
        *("python", "-c", VLLM_BENCH, "--backend", "openai", "--base-url", run.url),
        *("--endpoint", "/v1/completions", "--model", MODEL, "--tokenizer", str(run.tokenizer)),
        *("--dataset-name", "random", "--random-input-len", str(PROMPT_TOKENS)),
        *("--random-output-len", str(OUTPUT_TOKENS), "--num-prompts", str(run.requests)),
        *("--request-rate", str(run.rate_per_s), "--num-warmups", str(WARM_UP)),
        *("--seed", str(run.seed), "--ready-check-timeout-sec", "0", "--disable-tqdm"),
        *("--save-result", "--save-detailed"),
        *("--result-dir", str(run.folder), "--result-filename", "vllm.json"),
    ]


def _aiperf(run: Run) -> list[str]:
    return [
        *("aiperf", "profile", "-m", MODEL, "-u", run.url, "--endpoint-type", "completions"),
        *("--streaming", "--tokenizer", str(run.tokenizer), "--use-legacy-max-tokens"),
        *("--isl", str(PROMPT_TOKENS), "--isl-stddev", "0"),
        *("--osl", str(OUTPUT_TOKENS), "--osl-stddev", "0", "--use-server-token-count"),
        *("--request-rate", str(run.rate_per_s), "--arrival-pattern", "poisson"),
        *("--request-count", str(run.requests), "--warmup-request-count", str(WARM_UP)),
        *("--random-seed", str(run.seed), "--no-server-metrics", "--no-gpu-telemetry"),
        *("--ui", "none", "--export-level", "records"),
        *("--output-artifact-dir", str(run.folder)),
    ]


def _guidellm(run: Run) -> list[str]:
    backend = f"kind=openai_http,target={run.url},model={MODEL},request_format=/v1/completions"
    data = f"prompt_tokens={PROMPT_TOKENS},output_tokens={OUTPUT_TOKENS}"
    return [
        *("guidellm", "run", "--backend", backend),
        *("--profile", f"kind=poisson,rate={run.rate_per_s}"),
        *("--constraint", f"kind=max_requests,count={run.requests + WARM_UP}"),
        *("--tokenizer", f"kind=huggingface_auto,model={run.tokenizer}"),
        *("--data", f"kind=synthetic_text,{data}", "--seed", f"kind=static,value={run.seed}"),
        *("--output", f"kind=json,path={run.folder / 'guidellm.json'}", "--disable-console"),
    ]


CLIENTS = (
    Client("ours", None, _ours, reported.ours),
    # told to be offline it takes a tokenizer from a hub's cache alone, not from a folder
    Client("aiperf", "peers-aiperf", _aiperf, reported.aiperf, offline=False),
    Client("guidellm", "peers-guidellm", _guidellm, reported.guidellm, leading=WARM_UP),
    Client("vLLM bench", "vllm", _vllm, reported.vllm),
)
