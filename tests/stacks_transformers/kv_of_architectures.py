"""Run in the stack's environment: measure the KV cache of each architecture, print it as JSON.

Heads, KV heads, head size and hidden size are the published ones; there are 2 layers and few words,
and the weights hold no values worth having, because none of that changes the bytes of one layer.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

import torch
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PhiConfig, Qwen2Config
from transformers_model import facts
from transformers_phases import Phases

LAYERS, VOCABULARY, PROMPT, OUTPUT = 2, 256, 24, 9
FEW = {
    "num_hidden_layers": LAYERS,
    "vocab_size": VOCABULARY,
    "intermediate_size": 32,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}


def config(kind: type, hidden: int, heads: int, kv_heads: int):
    return kind(hidden_size=hidden, num_attention_heads=heads, num_key_value_heads=kv_heads, **FEW)


CONFIGS = {
    "smollm2-135m": config(LlamaConfig, 576, 9, 3),
    "gpt2": GPT2Config(
        n_embd=768, n_head=12, n_layer=LAYERS, n_inner=32, vocab_size=VOCABULARY,
        bos_token_id=0, eos_token_id=1,
    ),
    "qwen2.5-0.5b": config(Qwen2Config, 896, 14, 2),
    "qwen2.5-1.5b": config(Qwen2Config, 1536, 12, 2),
    "qwen2.5-3b": config(Qwen2Config, 2048, 16, 2),
    "phi-2": config(PhiConfig, 2560, 32, 32),
    "llama3.2-1b": config(LlamaConfig, 2048, 32, 8),
    "llama3.2-3b": config(LlamaConfig, 3072, 24, 8),
    "llama3.1-8b": config(LlamaConfig, 4096, 32, 8),
}  # fmt: skip


@torch.inference_mode()
def measure(name: str, cache: str) -> dict:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(CONFIGS[name], dtype=torch.bfloat16)
    model = model.to_empty(device="cpu").eval()
    for tensor in [*model.parameters(), *model.buffers()]:
        tensor.zero_()
    answer = Phases(model, cache=cache).generate(list(range(PROMPT)), OUTPUT, True)
    return {"facts": facts(model), "cache": cache, **answer}


torch.set_num_threads(1)
print(json.dumps({f"{n} {c}": measure(n, c) for n in CONFIGS for c in ("dynamic", "static")}))
