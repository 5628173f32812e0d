"""Log-probabilities of continuations by Transformers: `quality_choices.py JOB ANSWER`.

Runs in the environment `transformers` and imports only torch, transformers, numpy, the standard
library and the files beside it.
"""

import json
import os
import sys
from pathlib import Path

from log_probs import LogProbs
from transformers_log_probs import Logits

SAY_EVERY = 8


def main() -> None:
    """Load the model, answer every request, write the answer."""
    job = json.loads(Path(sys.argv[1]).read_text())
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    import torch
    from transformers import AutoModelForCausalLM

    if job["threads"]:
        torch.set_num_threads(job["threads"])
    try:
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
    seen = Logits(model.eval(), job["model"])
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    asked = LogProbs(seen.encode, seen.logits, longest)
    found = []
    for done, (context, continuation) in enumerate(job["requests"], 1):
        found.append(asked.of_continuation(context, continuation))
        if done % SAY_EVERY == 0:
            print(json.dumps({"done": done, "of": len(job["requests"])}), flush=True)
    Path(sys.argv[2]).write_text(json.dumps({"log_probs": found}))


if __name__ == "__main__":
    main()
