"""Log-probabilities of continuations by Transformers: `quality_choices.py JOB ANSWER`.

Runs in the environment `transformers` and imports only torch, transformers and the standard
library.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

SAY_EVERY = 8


def main() -> None:
    """Load the model, answer every request, write the answer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    try:
        tokenizer = AutoTokenizer.from_pretrained(job["model"])
        model = AutoModelForCausalLM.from_pretrained(
            job["model"], dtype=getattr(torch, job["dtype"])
        )
    except Exception as error:
        text = str(error).strip().splitlines()
        sys.exit(
            f"{job['model']} cannot be loaded: {type(error).__name__}: {text[0] if text else ''}"
        )
    if torch.cuda.is_available():
        model = model.to("cuda")
    scorer = Scorer(model.eval(), tokenizer)
    found = []
    for done, (context, continuation) in enumerate(job["requests"], 1):
        found.append(scorer.log_prob(context, continuation))
        if done % SAY_EVERY == 0:
            print(json.dumps({"done": done, "of": len(job["requests"])}), flush=True)
    Path(sys.argv[2]).write_text(json.dumps({"log_probs": found}))


class Scorer:
    """A model that is asked for continuations; the last input's result is kept for the next.

    The letters of one question follow the same input, which then is run once.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        self._last: tuple[list[int], int, Any] = ([], 0, None)

    def log_prob(self, context: str, continuation: str) -> dict[str, Any]:
        """Sum over the continuation's tokens: those of the whole text beyond the context's.

        The tokens of a text are not always those of its parts joined: the whole is tokenized.
        """
        whole = self.tokenizer.encode(context + continuation)
        start = len(self.tokenizer.encode(context))
        wanted = whole[start:]
        if not wanted or not start:
            return {"value": None, "tokens": 0, "error": "context or continuation has no tokens"}
        if self.longest and len(whole) - 1 > self.longest:
            why = f"{len(whole)} tokens are more than the model's context of {self.longest}"
            return {"value": None, "tokens": len(wanted), "error": why}
        rows = self._log_softmax(whole[:-1], len(wanted))
        value = sum(float(row[token]) for row, token in zip(rows, wanted, strict=True))
        return {"value": value, "tokens": len(wanted)}

    def _log_softmax(self, ids: list[int], last: int) -> Any:
        import torch

        if self._last[:2] != (ids, last):
            with torch.inference_mode():
                given = torch.tensor([ids], device=self.model.device)
                logits = self.model(given, logits_to_keep=last, use_cache=False).logits[0]
                self._last = (ids, last, torch.log_softmax(logits.float(), dim=-1))
        return self._last[2]


if __name__ == "__main__":
    main()
