"""TR130: whether what was set was in force: weights, batching, lengths, no prefix cache."""

from itertools import takewhile

import pandas as pd

from inferometer.analysis import Ledger
from inferometer.scaling import Cells, enter_mean

VERIFIED = "the fetched artifact, verified before each session"
NO_ESTIMATE = "a check of these sessions, not an estimate"


def enter(ledger: Ledger, arms: dict[str, Cells], reference: str | None) -> None:
    """Checks of each SUT over all its cells; `reference` is the SUT whose answers all must give."""
    rows = ledger.observations
    for sut, arm in arms.items():
        own = rows[rows["sut"] == sut]
        _weights(ledger, sut, own[own["kind"] == "facts"])
        _requests(ledger, sut, own[own["kind"] == "request"])
        for n in arm.levels:
            title = f"requests whose tokens arrive at the same time at N = {n}, mean"
            enter_mean(
                ledger, f"{sut}.together.n{n}", title, arm.at(n, "together"), "", arm.rows(n)
            )
        if reference is not None:
            _answers(ledger, sut, rows[rows["kind"] == "greedy"], reference)


def _weights(ledger: Ledger, sut: str, facts: pd.DataFrame) -> None:
    for name, column, title, how in (
        ("weights", "artifact", "weights that {} served", "the artifact of its sessions"),
        ("weights_sha256", "artifact_sha256", "sha256 of the weights that {} served", VERIFIED),
        ("precision", "precision", "precision that {} reports", "read back from the server"),
    ):
        said = sorted(set(facts[column].dropna())) if column in facts else []
        ledger.add(
            f"{sut}.{name}",
            title.format(sut),
            ", ".join(said) or None,
            n=len(facts),
            n_of="sessions",
            where={"sut": sut, "kind": "facts"},
            estimator=how,
            no_interval=NO_ESTIMATE,
            reason="the server is its user's: its weights are not known",
        )


def _requests(ledger: Ledger, sut: str, rows: pd.DataFrame) -> None:
    good = rows[rows["status"] == "ok"]
    cached, finish = good["cached_tokens"].dropna(), good["finish_reason"].dropna()
    for name, title, value, n in (
        (
            "cached",
            f"most prompt tokens that {sut} took from a cache",
            int(cached.max()) if len(cached) else None,
            len(cached),
        ),
        (
            "finished_by_length",
            f"share of answers of {sut} that ended by the forced length",
            float((finish == "length").mean()) if len(finish) else None,
            len(finish),
        ),
    ):
        ledger.add(
            f"{sut}.{name}",
            title,
            value,
            n=n,
            n_of="requests",
            where={"sut": sut, "kind": "request"},
            estimator="over all answers",
            no_interval=NO_ESTIMATE,
            reason="the server does not say",
        )


def _answers(ledger: Ledger, sut: str, greedy: pd.DataFrame, reference: str) -> None:
    """How far a SUT's greedy answers are those of the reference, from their beginning on."""
    wanted = greedy[greedy["sut"] == reference].groupby("prompt")["text"].agg(lambda t: t.mode()[0])
    own = greedy[greedy["sut"] == sut]
    shares = [
        _common(text, wanted[prompt])
        for prompt, text in zip(own["prompt"], own["text"], strict=True)
    ]
    for name, title, value in (
        (
            "same_answers",
            "share of greedy answers of {} that are those of {}",
            _mean([s == 1 for s in shares]),
        ),
        (
            "same_beginning",
            "share of the characters up to which answers of {} are those of {}",
            _mean(shares),
        ),
    ):
        ledger.add(
            f"{sut}.{name}",
            title.format(sut, reference),
            value,
            n=len(shares),
            n_of="answers",
            where={"sut": [sut, reference], "kind": "greedy"},
            estimator="mean over prompts and sessions",
            no_interval=NO_ESTIMATE,
            reason="it gave no answer",
        )


def _common(text: str, wanted: str) -> float:
    """Length of the common beginning over that of the longer text."""
    longest = max(len(text), len(wanted))
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(text, wanted, strict=False))
    return sum(1 for _ in alike) / longest if longest else 1.0


def _mean(values: list) -> float | None:
    return float(sum(values) / len(values)) if values else None
