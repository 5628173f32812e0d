"""Serve one Hugging Face model with Transformers' continuous batching over streaming HTTP.

Runs inside the environment of the stack `transformers` and imports only what is there, the
standard library and the files beside it. It takes its settings as one JSON argument, so that the
command line in a manifest is complete.

The steps are the library's own, in the order of its loop without asynchronous batching; but this
thread runs them, so that no token waits for another thread.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openai_http import Served, Server
from token_text import token_pieces

BYTES = 256


class Text:
    """The model's tokenizer."""

    def __init__(self, folder: str) -> None:
        from transformers import AutoTokenizer

        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._pieces = token_pieces(self._tokenizer.get_vocab())

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]

    def piece(self, token: int) -> bytes:
        """The bytes that one token stands for; none for an id without a token."""
        return self._pieces.get(token, b"")


class ByteText:
    """For synthesized models, which have no tokenizer: each byte of the text is its own id."""

    def encode(self, text: str) -> list[int]:
        """The bytes of `text`."""
        return list(text.encode())

    def piece(self, token: int) -> bytes:
        """The byte, where the id is one."""
        return bytes([token]) if token < BYTES else b""


class TransformersEngine:
    """The library's continuous batching, stepped by the caller."""

    def __init__(self, options: dict[str, Any]) -> None:
        import torch
        from transformers import ContinuousBatchingConfig, GenerationConfig
        from transformers_model import facts, load

        torch.set_num_threads(options["threads"])
        self.model = load(options)
        config = ContinuousBatchingConfig(
            max_requests_per_batch=options["max_sequences"],
            max_batch_tokens=options["batch_tokens"],
            allow_block_sharing=options["prefix_cache"],
            use_async_batching=False,
            use_cuda_graph=False,
            auto_switch_to_flash=False,
            safety_margin=0.0,  # every sequence that is let in has room for its whole context
        )
        config.num_blocks = options["max_sequences"] * -(-options["context"] // config.page_size)
        greedy = GenerationConfig(do_sample=False, eos_token_id=-1)
        self._manager = self.model.init_continuous_batching(greedy, config)
        self._processor = self._manager._create_batch_processor()
        self._manager.batch_processor = self._processor
        self._made: list[tuple[int, int]] = []
        self._processor.output_router.deliver_batch = self._keep
        self.facts = facts(self.model) | {
            "attention": self.model.config.get_text_config()._attn_implementation.split("|")[-1],
            "threads": torch.get_num_threads(),
            "max_sequences": self._processor.scheduler.max_requests_per_batch,
            "batch_tokens": self._processor.max_batch_tokens,
            "prefix_cache": self._processor.cache.use_prefix_sharing,
            "cache_blocks": self._processor.cache.num_blocks,
            "cache_page_tokens": config.page_size,
        }

    def add(self, key: int, prompt: list[int], output_tokens: int) -> None:
        """Take a sequence in; greedy, without an end-of-sequence token."""
        self._manager.add_request(
            prompt, request_id=str(key), max_new_tokens=output_tokens, streaming=True
        )

    def cancel(self, key: int) -> None:
        """Forget a sequence and free its cache."""
        scheduler = self._processor.scheduler
        scheduler.set_request_cancellation(str(key))
        scheduler.clear_cancelled_requests()

    def step(self) -> Iterator[tuple[int, int]]:
        """One step of the batch, and the tokens it made."""
        if self._processor.prepare_next_batch():
            self._manager._generation_step()
            self._processor.update_batch()
        made, self._made = self._made, []
        yield from made

    def _keep(self, outputs: list[Any]) -> None:
        for output in outputs:
            if output.error is not None:
                raise RuntimeError(output.error)
            self._made.append((int(output.request_id), output.generated_tokens[-1]))


def end_tokens(ids: int | list[int] | None) -> frozenset[int]:
    """The tokens that end an answer, as a generation configuration names them."""
    return frozenset([ids] if isinstance(ids, int) else ids or [])


def main() -> None:
    """Load the model, then serve until killed; the port is the caller's."""
    options = json.loads(sys.argv[1])
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    server = Server(options["host"], options["port"])
    try:
        engine = TransformersEngine(options)
        has_tokenizer = (Path(options["model"]) / "tokenizer.json").exists()
        text: Any = Text(options["model"]) if has_tokenizer else ByteText()
    except Exception as error:
        sys.exit(f"{options['model']} cannot be run: {type(error).__name__}: {error}")
    longest = engine.facts["context"] or options["context"]
    context = min(options["context"], longest)
    tokenizer = "the model's" if has_tokenizer else "none: bytes are ids"
    served = Served(
        model=Path(options["model"]).name,
        props={**engine.facts, "context": context, "tokenizer": tokenizer},
        text=text,
        vocabulary=engine.facts["vocabulary"],
        context=context,
        max_sequences=options["max_sequences"],
        ends=end_tokens(engine.model.generation_config.eos_token_id),
    )
    print(json.dumps({"listening": options["port"]}), flush=True)
    server.serve(engine, served)


if __name__ == "__main__":
    main()
