"""Serve one GGUF model with the llama.cpp server that ships in the xllamacpp wheel.

Runs inside the stack's own environment and imports only that stack and the standard library.
It takes its settings as one JSON argument, so that the command line in a manifest is complete.
"""

import json
import signal
import sys

import xllamacpp


def parameters(options: dict) -> xllamacpp.CommonParams:
    """Map our settings to llama.cpp's own; every one that matters is set, none is left to luck."""
    params = xllamacpp.CommonParams()
    params.model.path = options["model"]
    params.hostnames = [options["host"]]
    params.port = options["port"]
    params.n_parallel = options["slots"]
    params.n_ctx = options["context_per_slot"] * options["slots"]
    params.kv_unified = False
    params.cont_batching = options["continuous_batching"]
    params.n_batch = options["batch"]
    params.n_ubatch = options["micro_batch"]
    params.cpuparams.n_threads = options["threads"]
    params.cpuparams_batch.n_threads = options["threads"]
    params.n_gpu_layers = options["gpu_layers"]
    params.cache_prompt = options["prefix_cache"]
    if not options["prefix_cache"]:
        params.cache_ram_mib = 0
        params.slot_prompt_similarity = 0.0
        params.cache_idle_slots = False
    params.cache_type_k = getattr(xllamacpp.ggml_type, "GGML_TYPE_" + options["kv_type"].upper())
    params.cache_type_v = params.cache_type_k
    flash = {"auto": -1, "off": 0, "on": 1}
    params.flash_attn_type = flash[options["flash_attention"]]
    params.fit_params = False  # never let it shrink the context behind our back
    params.endpoint_props = True
    params.endpoint_slots = True
    params.endpoint_metrics = True
    params.ui = False
    return params


def main() -> None:
    """Serve until told to stop; the port is the caller's."""
    server = xllamacpp.Server(parameters(json.loads(sys.argv[1])))
    print(json.dumps({"listening": server.listening_address}), flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main()
