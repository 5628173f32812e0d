"""Findings from `choice` rows: what a SUT holds most likely, and whether another picks the same.

Where a model is at chance its accuracy hardly falls; that it picks other choices is still seen.
"""

import numpy as np
import pandas as pd

from inferometer.analysis import Ledger, Where
from inferometer.findings import Scalar
from inferometer.quality import entries
from inferometer.quality.agreement import Answer, agreement
from inferometer.quality.items import LETTERS

UNPICKED = "no choice was picked"


def where(suts: Scalar | list[Scalar], benchmark: str) -> Where:
    """What selects the `choice` rows of some SUTs on a benchmark."""
    about: Where = {"kind": "choice", "sut": suts, "phase": "choices", "cell_valid": True}
    return about | {"benchmark": benchmark}


def enter_modal(ledger: Ledger, prefix: str, sut: str, benchmark: str) -> None:
    """Enter `<prefix>.modal_choice`: the share of items in which a SUT picks its most frequent one.

    By place among the choices, which a model that answers by content would not prefer. Not entered
    where the SUT was not asked.
    """
    about = where(sut, benchmark)
    rows = entries.selected(ledger, about)
    if rows.empty:
        return
    counts = rows["picked"].dropna().astype(int).value_counts()
    name = f"choice {LETTERS[int(counts.index[0])]}" if len(counts) else "one and the same choice"
    title = f"items of {benchmark} of which {sut} picks {name}, its most frequent"
    held, of = int(counts.max()) if len(counts) else 0, int(counts.sum())
    entries.enter_share(ledger, f"{prefix}.modal_choice", title, held, of, about, reason=UNPICKED)


def enter_agreement(ledger: Ledger, prefix: str, pair: list[str], benchmark: str) -> None:
    """Enter whether two SUTs pick the same choices: `<prefix>.same_choice` and `<prefix>.kappa`.

    Not entered where one of the two was not asked. Cohen's kappa corrects the share of equal
    picks for what SUTs with the same preferences would agree on by chance; not entered where no
    item was picked by both, without a value where chance agreement is 1.
    """
    about = where([*pair], benchmark)
    rows = entries.selected(ledger, about)
    if not set(pair) <= set(rows["sut"]):
        return
    one, two = (_answers(rows[rows["sut"] == sut]) for sut in pair)
    seen = agreement(one, two, labels=list(LETTERS)) if _picked(one) & _picked(two) else None
    lost = len(seen.missing_a) + len(seen.missing_b) if seen else 0
    notes = f"{lost} items without a pick on one side, left out" if lost else None
    title = f"items of {benchmark} of which {pair[0]} and {pair[1]} pick the same choice"
    held, of = (seen.same.k, seen.same.n) if seen else (0, 0)
    entries.enter_share(
        *(ledger, f"{prefix}.same_choice", title, held, of, about),
        reason="no item was picked by both",
        notes=notes,
    )
    if seen is None:
        return
    ledger.add(
        f"{prefix}.kappa",
        f"Cohen's kappa of the choices that {pair[0]} and {pair[1]} pick, {benchmark}",
        seen.kappa,
        ci=seen.kappa_ci,
        n=of,
        n_of=entries.N_OF,
        estimator="kappa, large-sample interval (Fleiss, Cohen and Everitt)",
        where=about,
        no_interval=None if seen.kappa_ci else seen.reason,
        reason=seen.reason,
        notes=notes,
    )


def _picked(answers: list[Answer]) -> set[str]:
    return {answer.item for answer in answers if answer.text is not None}


def _answers(rows: pd.DataFrame) -> list[Answer]:
    """A letter an item; an item of which a log-probability is missing has none."""
    return [
        Answer(f"{task}/{item}", None, "undefined")
        if np.isnan(picked)
        else Answer(f"{task}/{item}", LETTERS[int(picked)])
        for task, item, picked in zip(rows["task"], rows["item"], rows["picked"], strict=True)
    ]
