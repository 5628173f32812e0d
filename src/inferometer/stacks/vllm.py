"""vLLM's OpenAI server, in an environment of its own; its CPU build where there is no GPU."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field

from inferometer.errors import UserError
from inferometer.stacks import local
from inferometer.stacks.base import Launch, ServerTimings, StreamEvent, answers, get_json
from inferometer.stacks.openai import OpenAIDialect
from inferometer.stacks.vllm_trace import label_phases

MODULE = "vllm.entrypoints.openai.api_server"
"""Not the `vllm` command: that of the CPU build asks for a package named `vllm` and ends."""
SERVED_NAME = "model"
GIB = 2**30
SOME_IDS = 1000
"""Token ids that any vocabulary has, for prompts to a model that comes without a tokenizer."""
PROFILE_LIMIT_S = 300.0
OFFLINE = ("HF_HUB_OFFLINE=1", "VLLM_NO_USAGE_STATS=1", "DO_NOT_TRACK=1")


class VllmSettings(BaseModel):
    """Settings of one vLLM server.

    `max_sequences` are decoded together (1 is a serial server); each may be `context` tokens long,
    prompt and output. They share `kv_cache_gib` GiB of paged cache. `device` auto is the first
    NVIDIA GPU where there is one, the CPU elsewhere. `enforce_eager` leaves out torch.compile and
    CUDA graphs. `threads` are OpenMP threads on a CPU; None means one per core that this process
    may use. `profiler` offers the torch profiler's endpoints; it is off until it is started.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_sequences: int = Field(ge=1)
    context: int = Field(ge=16)
    kv_cache_gib: float = Field(default=1.0, gt=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    prefix_cache: bool = False
    enforce_eager: bool = True
    threads: int | None = Field(default=None, ge=1)
    profiler: bool = False


class VllmDialect(OpenAIDialect):
    """OpenAI completions, with what vLLM adds: each choice is a token, timings come at the end."""

    def read_event(self, data: bytes) -> StreamEvent | None:
        """One event; the last token and its finish reason are one chunk, whatever its text is."""
        event = super().read_event(data)
        if event is None or event.error is not None:
            return event
        if event.usage is not None:
            return replace(event, timings=_timings(json.loads(data).get("metrics")))
        return replace(event, carries_token=True) if event.finish_reason is not None else event

    async def tokenize(self, http: aiohttp.ClientSession, base_url: str, text: str) -> list[int]:
        """Token ids by the server's tokenizer; for a model without one, ids that every model has.

        Such a model has random weights: its prompts have a length and no meaning.
        """
        config = (await _server_info(http, base_url))["vllm_config"]
        if config["model_config"]["skip_tokenizer_init"]:
            return list(range(SOME_IDS))
        return await super().tokenize(http, base_url, text)


class Vllm:
    """The vLLM server; see `Stack` and `ProfiledServer` for the methods."""

    name = "vllm"
    settings_model: type[BaseModel] = VllmSettings

    def environment_for(self, settings: Any) -> str:
        """The build that the device needs."""
        return "vllm-cuda" if local.device_of(settings) == "cuda" else "vllm"

    def why_not(self, settings: Any) -> str | None:
        """A GPU that is asked for and is not there."""
        return local.why_no_gpu(settings)

    def dialect(self, settings: Any) -> VllmDialect:
        """Forced output length: neither the end-of-sequence token nor a stop ends a request."""
        return VllmDialect(extra={"ignore_eos": True})

    def launch(self, settings: Any, artifact: Path | None, python: Path, port: int) -> Launch:
        """The command line says it all, its environment among it."""
        artifact = local.needed(self.name, artifact)
        if not (artifact / "config.json").is_file():
            raise UserError(
                f"vllm: {artifact.name} is no Hugging Face folder (config.json, *.safetensors); "
                "this build of vLLM reads nothing else"
            )
        command = ["env", *_variables(settings, python), str(python), "-P", "-m", MODULE]
        options = _options(settings, artifact)
        command += ["--model", str(artifact), "--host", "127.0.0.1", "--port", str(port), *options]
        return local.at_port(port, command)

    async def ready(self, http: aiohttp.ClientSession, base_url: str) -> bool:
        """`/health` answers 200 once the engine is up."""
        return await answers(http, base_url + "/health")

    async def read_back(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> dict[str, Any]:
        """The configuration that the engine runs with, from `/server_info`."""
        seen = _in_force(await _server_info(http, base_url))
        asked: dict[str, Any] = {
            "device": local.device_of(settings),
            "max_sequences": settings.max_sequences,
            "context": settings.context,
            "kv_cache_bytes": int(settings.kv_cache_gib * GIB),
            "prefix_cache": settings.prefix_cache,
            "enforce_eager": settings.enforce_eager,
            "stream_interval": 1,
            "profiler": "torch" if settings.profiler else None,
        }
        if settings.dtype != "auto":
            asked["dtype"] = settings.dtype
        if local.device_of(settings) == "cpu":
            asked["threads"] = local.threads_of(settings)
        local.check(self.name, asked, seen)
        return seen

    async def start_profile(self, http: aiohttp.ClientSession, base_url: str) -> None:
        """Start the torch profiler in the process that runs the model; older traces are deleted."""
        for trace in await _traces(http, base_url):
            trace.unlink()
        await _post(http, base_url + "/start_profile")

    async def stop_profile(
        self, http: aiohttp.ClientSession, base_url: str, settings: Any
    ) -> list[Path]:
        """Stop it; the traces of this run, one a process, each step labelled with its phase.

        They lie in the temporary folder of the server, which goes with it.
        """
        await _post(http, base_url + "/stop_profile")  # answered when the files are written
        traces = await _traces(http, base_url)
        if not traces:
            raise UserError(f"vllm: {base_url}: its profiler wrote no trace; was it started?")
        for trace in traces:
            await asyncio.to_thread(label_phases, trace)
        return traces


def _variables(settings: VllmSettings, python: Path) -> list[str]:
    """The server's environment. Dev mode is what makes it tell its configuration."""
    variables = [*OFFLINE, "VLLM_SERVER_DEV_MODE=1"]
    if local.device_of(settings) == "cpu":
        # left to itself, vLLM binds its threads to all cores but one, which it keeps to itself
        threads = local.threads_of(settings)
        variables += ["VLLM_CPU_OMP_THREADS_BIND=nobind", f"OMP_NUM_THREADS={threads}"]
        # as vLLM's manual asks; GNU's OpenMP spins at barriers, against the server's own processes
        openmp = python.parents[1] / "lib" / "libiomp5.so"
        if openmp.is_file():
            variables.append(f"LD_PRELOAD={openmp}")
    return variables


def _options(settings: VllmSettings, artifact: Path) -> list[str]:
    def switch(name: str, on: bool) -> str:
        return f"--{name}" if on else f"--no-{name}"

    options = ["--served-model-name", SERVED_NAME, "--dtype", settings.dtype, "--seed", "0"]
    options += ["--max-num-seqs", str(settings.max_sequences)]
    options += ["--max-model-len", str(settings.context)]
    options += ["--kv-cache-memory-bytes", str(int(settings.kv_cache_gib * GIB))]
    options += ["--generation-config", "vllm"]  # none of the model's own sampling defaults
    options += [
        switch("enable-prefix-caching", settings.prefix_cache),
        switch("enforce-eager", settings.enforce_eager),
        "--enable-prompt-tokens-details",
        "--enable-per-request-metrics",
        "--disable-uvicorn-access-log",
    ]
    if not list(artifact.glob("tokenizer*")):
        options.append("--skip-tokenizer-init")
    if settings.profiler:
        profiler = {
            "profiler": "torch",
            "torch_profiler_dir": "$TMPDIR",  # the guard's, which goes with the server
            "torch_profiler_with_stack": False,  # Python's stacks cost more than the operators
            "ignore_frontend": True,  # the HTTP server runs no operators
        }
        options += ["--profiler-config", json.dumps(profiler)]
    return options


def _in_force(info: dict[str, Any]) -> dict[str, Any]:
    """What `/server_info` says, in the words of the settings."""
    config, system = info["vllm_config"], info["system_env"]
    model, cache_, scheduler = (
        config[f"{part}_config"] for part in ("model", "cache", "scheduler")
    )
    variables = dict(line.split("=", 1) for line in system["env_vars"].splitlines() if "=" in line)
    threads = variables.get("OMP_NUM_THREADS")
    return {
        "version": system["vllm_version"],
        "device": config["device_config"]["device"],
        "dtype": model["dtype"].removeprefix("torch."),
        "max_sequences": scheduler["max_num_seqs"],
        "context": model["max_model_len"],
        "kv_cache_bytes": cache_["kv_cache_memory_bytes"],
        "kv_cache_tokens": cache_["kv_cache_size_tokens"],
        "block_tokens": cache_["block_size"],
        "prefix_cache": cache_["enable_prefix_caching"],
        "enforce_eager": model["enforce_eager"],
        "compilation_mode": config["compilation_config"]["mode"],
        "max_batched_tokens": scheduler["max_num_batched_tokens"],
        "chunked_prefill": scheduler["enable_chunked_prefill"],
        "stream_interval": scheduler["stream_interval"],
        "tokenizer": not model["skip_tokenizer_init"],
        "threads": None if threads is None else int(threads),
        "profiler": config["profiler_config"]["profiler"],
    }


def _timings(content: Any) -> ServerTimings | None:
    """vLLM's `metrics`: waiting, then to the first token from the first schedule, then the rest."""
    if not isinstance(content, dict):
        return None

    def seconds(name: str) -> float | None:
        value = content.get(name)
        return value / 1000 if isinstance(value, int | float) else None

    return ServerTimings(
        queue_s=seconds("queue_time_ms"),
        prefill_s=seconds("time_to_first_token_ms"),
        decode_s=seconds("generation_time_ms"),
    )


async def _server_info(http: aiohttp.ClientSession, base_url: str) -> dict[str, Any]:
    return await get_json(http, base_url + "/server_info?config_format=json")


async def _traces(http: aiohttp.ClientSession, base_url: str) -> list[Path]:
    """The traces in the server's own folder; `UserError` when it was started without one."""
    profiler = (await _server_info(http, base_url))["vllm_config"]["profiler_config"]
    if profiler["profiler"] is None:
        raise UserError("vllm: this server cannot be profiled; set `profiler: true` in its SUT")
    return sorted(Path(profiler["torch_profiler_dir"]).glob("*.pt.trace.json.gz"))


async def _post(http: aiohttp.ClientSession, url: str) -> None:
    limit = aiohttp.ClientTimeout(total=PROFILE_LIMIT_S)
    async with http.post(url, timeout=limit) as answer:
        answer.raise_for_status()
