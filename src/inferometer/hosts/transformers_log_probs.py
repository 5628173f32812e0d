"""Logits of a Hugging Face model, and its tokenizer, for `log_probs.LogProbs`."""

from typing import Any


class Logits:
    """A loaded model and the tokenizer of its folder."""

    def __init__(self, model: Any, folder: str) -> None:
        from transformers import AutoTokenizer

        self.model = model
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def encode(self, text: str) -> list[int]:
        """Token ids, with the special tokens that the tokenizer adds by itself."""
        return self._tokenizer.encode(text)

    def logits(self, ids: list[int], last: int) -> Any:
        """The logits after each of the last `last` ids: a numpy array [last, vocabulary]."""
        import torch

        with torch.inference_mode():
            given = torch.tensor([ids], device=self.model.device)
            seen = self.model(given, logits_to_keep=last, use_cache=False).logits[0]
        return seen.float().cpu().numpy()
