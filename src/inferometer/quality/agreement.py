"""Whether two SUTs give the same answers to the same items: share of equal answers and kappa.

Agreement is about answers, right or wrong; `inferometer.quality.paired` compares their scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from inferometer.quality.scoring import Status
from inferometer.stats import inputs
from inferometer.stats.proportions import Proportion, wilson
from inferometer.stats.result import Interval, Result, interval

INVALID, EMPTY = "<invalid>", "<empty>"
FREE_TEXT = "answers are free text: kappa needs a closed set of labels"
ONE_LABEL = "both SUTs give one and the same label throughout: chance agreement is 1"
NO_ERROR = "the large-sample error of kappa is 0 here: no interval"
PERFECT = "the SUTs agree on every item: kappa has no error to estimate"
FEWEST_OTHERS = 5
FEW_OTHERS = (
    f"a SUT gives fewer than {FEWEST_OTHERS} answers beside its most frequent one: the "
    "large-sample error of kappa does not hold"
)


@dataclass(frozen=True)
class Answer:
    """What a SUT answered to an item.

    `text` is the parsed answer, None for a status other than `ok`; `undefined` and `not testable
    here` mean that there is no answer.
    """

    item: str
    text: str | None
    status: Status = "ok"

    @property
    def category(self) -> str | None:
        """The answer; a category of its own for invalid and for empty ones; None if missing."""
        known = {"ok": self.text, "invalid": INVALID, "empty": EMPTY}
        return known.get(self.status)


@dataclass(frozen=True, repr=False)
class Agreement(Result):
    """Agreement of two SUTs on the items that both answered.

    `same` is the share of items with equal valid answers, by Wilson; `kappa` corrects it for
    chance, with invalid and empty answers as labels of their own. `missing_a` and `missing_b`
    list items without an answer on that side; they are left out of both.
    """

    same: Proportion
    kappa: float | None
    kappa_ci: Interval | None
    both_valid: int
    differing: tuple[str, ...]
    missing_a: tuple[str, ...]
    missing_b: tuple[str, ...]
    reason: str | None = None


def agreement(
    a: Sequence[Answer],
    b: Sequence[Answer],
    labels: Sequence[str] | None = None,
    confidence: float = 0.95,
) -> Agreement:
    """Compare the answers of two SUTs to the same items.

    Parameters
    ----------
    a, b : at most one answer for each item, in any order.
    labels : the closed set of valid answers (letters, classes); None for free text, which gets no
        kappa.

    Returns
    -------
    Agreement
        An invalid or empty answer never agrees with anything in `same`. `kappa` is undefined
        where chance agreement is 1; its interval, where its large-sample error is 0 or a SUT gives
        fewer than `FEWEST_OTHERS` answers beside its most frequent one.

    Raises
    ------
    ValueError
        An item twice on a side; no item in common; an answer outside `labels`.

    Notes
    -----
    Cohen (1960), Educ. Psychol. Meas. 20, 37-46; error: Fleiss, Cohen and Everitt (1969),
    Psychol. Bull. 72, 323-327; both by statsmodels.
    """
    inputs.fraction("confidence", confidence)
    first, second = _by_item("a", a), _by_item("b", b)
    shared = [item for item in first if item in second]
    if not shared:
        raise ValueError("a, b: no item has an answer on both sides")
    pairs = [(first[item], second[item]) for item in shared]
    alike = [one == two and one not in (INVALID, EMPTY) for one, two in pairs]
    kappa, ends, reason = _kappa(pairs, labels, confidence)
    return Agreement(
        same=wilson(sum(alike), len(pairs), confidence),
        kappa=kappa,
        kappa_ci=ends,
        both_valid=sum(not {INVALID, EMPTY} & set(pair) for pair in pairs),
        differing=tuple(item for item, equal in zip(shared, alike, strict=True) if not equal),
        missing_a=tuple(sorted(second.keys() - first.keys() | _without(a))),
        missing_b=tuple(sorted(first.keys() - second.keys() | _without(b))),
        reason=reason,
    )


def _by_item(name: str, answers: Sequence[Answer]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    seen = set()
    for answer in answers:
        if answer.item in seen:
            raise ValueError(f"{name}: item {answer.item} has two answers")
        seen.add(answer.item)
        if (category := answer.category) is not None:
            found[answer.item] = category
    return found


def _without(answers: Sequence[Answer]) -> set[str]:
    return {answer.item for answer in answers if answer.category is None}


def _kappa(
    pairs: Sequence[tuple[str, str]], labels: Sequence[str] | None, confidence: float
) -> tuple[float | None, Interval | None, str | None]:
    if labels is None:
        return None, None, FREE_TEXT
    known = [*labels, INVALID, EMPTY]
    if strange := sorted({answer for pair in pairs for answer in pair} - set(known)):
        raise ValueError(f"labels: the answer {strange[0]!r} is none of {', '.join(labels)}")
    table = np.zeros((len(known), len(known)))
    for one, two in pairs:
        table[known.index(one), known.index(two)] += 1
    if table.max() == table.sum() and table.argmax() % (len(known) + 1) == 0:
        return None, None, ONE_LABEL
    if np.trace(table) == table.sum():
        return 1.0, None, PERFECT
    with np.errstate(divide="ignore", invalid="ignore"):  # its z, where the error is 0
        fit = cohens_kappa(table)
    kappa = float(fit.kappa)
    half = float(stats.norm.ppf((1 + confidence) / 2)) * float(fit.std_kappa)
    if not half > 0:
        return kappa, None, NO_ERROR
    if table.sum() - max(table.sum(axis=0).max(), table.sum(axis=1).max()) < FEWEST_OTHERS:
        return kappa, None, FEW_OTHERS
    return kappa, interval(max(kappa - half, -1.0), min(kappa + half, 1.0)), None
