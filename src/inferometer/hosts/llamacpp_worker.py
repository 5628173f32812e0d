"""Serve one GGUF file, in process, for what its server does not give: how likely given texts are.

Runs inside the environment `quantize`, whose cyllama holds llama.cpp as a library, and imports only
that, numpy, the standard library and the files beside it. It takes its settings as one JSON
argument, so that the command line in a manifest is complete.
"""

import json
import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from log_prob_routes import routes
from log_probs import LogProbs
from transformers_http import Inbox

KV_TYPES = {"f32": 0, "f16": 1}
"""ggml's numbers of the types."""
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
"""llama.cpp's numbers."""


def main() -> None:
    """Load the model, then answer until killed; the port is the caller's."""
    options = json.loads(sys.argv[1])
    inbox = Inbox(options["host"], options["port"])
    try:
        model = Model(options)
    except Exception as error:
        sys.exit(f"{options['model']} cannot be run: {type(error).__name__}: {error}")
    asked = LogProbs(model.encode, model.logits, model.context)
    print(json.dumps({"listening": options["port"]}), flush=True)
    inbox.serve({"/props": lambda _: model.facts, **routes(asked)})


class Model:
    """A loaded model with one sequence of KV cache, emptied for every input."""

    def __init__(self, options: dict[str, Any]) -> None:
        from cyllama.llama import llama_cpp

        class WithVocabulary(llama_cpp.LlamaModel):
            """The library's context asks its model for this, and its model does not have it."""

            n_vocab = property(lambda self: self.get_vocab().n_vocab)

        llama_cpp.disable_logging()
        llama_cpp.llama_backend_init()
        params = llama_cpp.LlamaModelParams()
        params.n_gpu_layers = 0  # the package is a CPU build
        self._model = WithVocabulary(options["model"], params)
        self._vocab = self._model.get_vocab()
        self.context = min(options["context"], self._model.n_ctx_train)
        wanted = llama_cpp.LlamaContextParams()
        wanted.n_ctx = wanted.n_batch = options["context"]
        wanted.n_threads = wanted.n_threads_batch = options["threads"]
        wanted.type_k = wanted.type_v = KV_TYPES[options["kv_type"]]
        wanted.flash_attn_type = FLASH_ATTENTION[options["flash_attention"]]
        self._context = llama_cpp.LlamaContext(self._model, wanted, verbose=False)
        self._batch = llama_cpp.LlamaBatch(n_tokens=options["context"], embd=0, n_seq_max=1)
        self.facts = {
            "device": "cpu",
            "library": f"cyllama {version('cyllama')}, llama.cpp {llama_cpp.ggml_commit()}",
            "context": self._context.n_ctx,
            "threads": self._context.n_threads(),
            "vocabulary": self._vocab.n_vocab,
            "params": self._model.n_params,
            "weight_bytes": self._model.size,
            "description": self._model.desc,
        }

    def encode(self, text: str) -> list[int]:
        """Token ids, with what the model's file says it always begins with."""
        return list(self._vocab.tokenize(text, True, False))

    def logits(self, ids: list[int], last: int) -> Any:
        """The logits after each of the last `last` ids."""
        self._context.kv_cache_clear()
        self._batch.clear()
        for position, token in enumerate(ids):
            self._batch.add(token, position, [0], position >= len(ids) - last)
        self._context.decode(self._batch)
        first = len(ids) - last
        return np.array([self._context.get_logits_ith(first + row) for row in range(last)])


if __name__ == "__main__":
    main()
