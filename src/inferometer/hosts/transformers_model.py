"""Load a model as the settings say, and read back what was really loaded."""

from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedModel


def load(options: dict[str, Any]) -> PreTrainedModel:
    """The model on its device, in its precision, with the attention that was asked for.

    Raises `RuntimeError` when there is no CUDA device for it.
    """
    device = options["device"]
    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device cuda: torch {torch.__version__} sees no CUDA device")
    model = AutoModelForCausalLM.from_pretrained(
        options["model"],
        dtype=getattr(torch, options["dtype"]),
        attn_implementation=options["attention"],
        local_files_only=True,
    )
    if device == "cuda":
        return model.to(torch.device("cuda", 0)).eval()
    _touch(model)
    return model.eval()


@torch.inference_mode()
def _touch(model: PreTrainedModel) -> None:
    """Read every weight once: weights that are mapped from a file get resident only then."""
    for tensor in model.parameters():
        tensor.sum()


def facts(model: PreTrainedModel) -> dict[str, Any]:
    """Device, precision, attention and architecture of a loaded model; sizes in bytes.

    Weights that share memory count once. `decode_weight_bytes` are the weights that one decode
    step reads: all but the tables that are looked up (token embedding, positions), of which it
    reads one row; a token embedding that is also the output head is read whole.
    """
    config = model.config.get_text_config()
    device = next(model.parameters()).device
    heads = config.num_attention_heads
    weights = {tensor.data_ptr(): tensor for tensor in model.parameters()}
    embedding = model.get_input_embeddings().weight
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": "cpu" if device.type == "cpu" else f"cuda:{device.index or 0}",
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": config._attn_implementation,
        "model_type": config.model_type,
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "weight_bytes": sum(tensor.nbytes for tensor in weights.values()),
        "decode_weight_bytes": _decode_weight_bytes(model, list(weights.values())),
        "layers": config.num_hidden_layers,
        "heads": heads,
        "kv_heads": getattr(config, "num_key_value_heads", None) or heads,
        "head_dim": getattr(config, "head_dim", None) or config.hidden_size // heads,
        "kv_value_bytes": model.dtype.itemsize,
        "hidden": config.hidden_size,
        "vocabulary": embedding.shape[0],
        "context": getattr(config, "max_position_embeddings", None),
    }


def _decode_weight_bytes(model: PreTrainedModel, weights: list[torch.Tensor]) -> int:
    head = model.get_output_embeddings()
    read_whole = None if head is None else head.weight.data_ptr()
    tables = {
        module.weight.data_ptr()
        for module in model.modules()
        if isinstance(module, torch.nn.Embedding)
    }
    return sum(
        tensor.nbytes
        for tensor in weights
        if tensor.data_ptr() not in tables or tensor.data_ptr() == read_whole
    )
