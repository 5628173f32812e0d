"""TR126: times of every arm, and compiled over eager, paired by block."""

from typing import Any

from inferometer.economics.estimate import Estimate
from inferometer.stats import compare
from inferometer.stats.inputs import MIN_BLOCKS

COLUMNS = {
    "prefill": ("prefill_s", "prefill", "prefill"),
    "decode": ("decode_s_per_token", "a decode step", "decode"),
    "request": ("request_s", "prefill and all decode steps", None),
}
"""What is timed: its column, in words, and the part whose records it comes from."""


def findings(arms: dict[str, Any], entries: Any) -> None:
    """Enter times, ratios to eager, and the p-values of each model's families."""
    for seen in arms.values():
        for prompt in seen.prompts:
            _times(seen, entries, prompt)
        eager = arms.get(f"{seen.model}-{entries.EAGER}")
        if eager is not None and eager is not seen:
            _against(seen, eager, entries, entries.EAGER)
        default = arms.get(f"{seen.model}-default")
        if default is not None and seen.arm in ("reduce", "static"):
            _against(seen, default, entries, "default")
    for model in dict.fromkeys(seen.model for seen in arms.values()):
        for part in ("prefill", "decode"):
            _family([seen for seen in arms.values() if seen.model == model], part)


def _times(seen: Any, entries: Any, prompt: int) -> None:
    for name, (column, words, part) in COLUMNS.items():
        values = seen.at(prompt, column)
        where = seen.timed(prompt, part)
        title = f"time of {words}, prompt of {prompt} tokens"
        seen.enter(f"{name}.p{prompt}", title, entries.mean(values, "s"), where)


def _against(seen: Any, other: Any, entries: Any, arm: str) -> None:
    """This arm's times over another's, at every length that both have."""
    for prompt in seen.prompts:
        for name, (column, words, part) in COLUMNS.items():
            ours, theirs = seen.at(prompt, column), other.at(prompt, column)
            shared = sorted(ours.keys() & theirs.keys())
            if not shared:
                continue
            where = seen.timed(prompt, part) | {"sut": [seen.sut, other.sut]}
            where.pop("compiled_in_region", None)  # eager records do not say
            seen.enter(
                f"{name}_over_{arm}.p{prompt}",
                f"time of {words} over that of `{other.sut}`, prompt of {prompt} tokens",
                Estimate.of_ratio(ours, theirs, ""),
                where,
                estimator=entries.RATIO,
            )
            if arm == entries.EAGER and name != "request" and len(shared) >= MIN_BLOCKS:
                sides = [[side[block] for block in shared] for side in (ours, theirs)]
                if (p := p_of(*sides)) is not None:
                    seen.ratios[name, prompt] = p


def p_of(ours: list[float], theirs: list[float]) -> float | None:
    """Two-sided p of a paired ratio of 1; `None` where it is not defined."""
    try:
        return compare.ratio(ours, theirs, paired=True).p
    except ValueError:
        return None  # the ratio is the same in all blocks, so that it has no error


def _family(arms: list[Any], part: str) -> None:
    """Holm over the arms and lengths of one model and part."""
    members = [(seen, key) for seen in arms for key in seen.ratios if key[0] == part]
    if not members:
        return
    adjusted = compare.holm([seen.ratios[key] for seen, key in members]).p_adjusted
    for (seen, (_, prompt)), p in zip(members, adjusted, strict=True):
        ratio = seen.ledger.findings[f"{seen.sut}.{part}_over_eager.p{prompt}"]
        seen.ledger.add(
            f"{seen.sut}.{part}_p.p{prompt}",
            f"adjusted p of {part} against eager, prompt of {prompt} tokens",
            p,
            n=ratio.n,
            where=dict(ratio.rows.where),
            estimator=f"paired t on logs, Holm over the {len(members)} ratios of model and part",
            no_interval="a p-value",
        )
