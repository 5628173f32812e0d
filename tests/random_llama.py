"""Small Llamas with random weights, made in the environment of a stack."""

import json
import subprocess
from pathlib import Path
from typing import Any

CODE = """
import json, sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(7)
LlamaForCausalLM(LlamaConfig(**json.loads(sys.argv[2]))).save_pretrained(sys.argv[1])
"""


def save(python: Path, folder: Path, **config: Any) -> Path:
    """Write one of 3 layers to `folder`, the rest as the configuration says."""
    words = [str(python), "-c", CODE, str(folder), json.dumps({"num_hidden_layers": 3} | config)]
    subprocess.run(words, check=True, capture_output=True)
    return folder


def save_tiny(python: Path, folder: Path, **config: Any) -> Path:
    """Write one with 6 heads, 2 KV heads of 16."""
    shape = {"vocab_size": 512, "hidden_size": 96, "intermediate_size": 128}
    heads = {"num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16}
    return save(python, folder, tie_word_embeddings=False, **shape, **heads, **config)
