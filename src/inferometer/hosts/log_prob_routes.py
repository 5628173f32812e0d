"""What a worker answers about log-probabilities; the same whatever computes them."""

from collections.abc import Callable
from typing import Any

from json_http import BadRequest
from log_probs import LogProbs

Route = Callable[[dict[str, Any]], dict[str, Any]]


def routes(model: LogProbs) -> dict[str, Route]:
    """Path -> what answers it: `/log_probs` and `/text_log_probs`."""

    def log_probs(body: dict[str, Any]) -> dict[str, Any]:
        asked = body.get("requests")
        if not isinstance(asked, list) or not all(_is_pair(one) for one in asked):
            raise BadRequest("requests: must be a list of [context, continuation]")
        return {"log_probs": [model.of_continuation(*one) for one in asked]}

    def text_log_probs(body: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(body.get("text"), str):
            raise BadRequest("text: must be a text")
        try:
            return model.of_text(body["text"], body.get("write"), body.get("against"))
        except ValueError as error:
            raise BadRequest(str(error)) from None

    return {"/log_probs": log_probs, "/text_log_probs": text_log_probs}


def _is_pair(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)
