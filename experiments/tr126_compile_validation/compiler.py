"""TR126: what the compiler did, what it cost, what pays for it, and what crashed."""

from dataclasses import replace
from typing import Any

import pandas as pd

PARTS = ("prefill", "decode")
REASONS_SHOWN = 6


def findings(arms: dict[str, Any], entries: Any, payback: Any) -> None:
    """Enter counts, costs, calls that pay, outputs and crashes of every compiled arm."""
    for seen in arms.values():
        _crashes(seen, entries)
        if not seen.compiled:
            continue
        eager = arms.get(f"{seen.model}-{entries.EAGER}")
        _counts(seen, entries)
        _in_region(seen)
        _costs(seen, entries)
        if eager is not None:
            _pays(seen, eager, payback)
            _outputs(seen, eager)


def _counts(seen: Any, entries: Any) -> None:
    for column, words in entries.COUNTS.items():
        values = seen.per_block(column)
        title = f"{words}, over a block"
        found = entries.mean(values, "")
        if found.value is not None and found.value == int(found.value):
            found = replace(found, value=int(found.value))  # a count, not a mean that happens so
        seen.enter(column, title, found, seen.compiling())
    said = seen.records["compile_reasons"].dropna() if "compile_reasons" in seen.records else []
    reasons = sorted({text for line in said for text in str(line).split("; ")})
    if reasons:
        shown = "; ".join(reasons[:REASONS_SHOWN])
        more = len(reasons) - REASONS_SHOWN
        text = f"{shown}; and {more} others" if more > 0 else shown
        title = "reasons that torch gives for compiling anew, breaking and skipping"
        seen.tell("reasons", title, text, len(said), "records", seen.compiling())


def _in_region(seen: Any) -> None:
    """Parts in which something was compiled while they were timed, all and by length."""
    timed = seen.records[seen.records["kind"] == "phase"]
    dirty = timed[timed["compiled_in_region"].eq(True)]
    where = {"kind": "phase", "sut": seen.sut}
    title = "timed parts in which something was compiled"
    seen.share("in_region", title, len(dirty), len(timed), "timed parts", where)
    for prompt in sorted(int(level) for level in dirty["prompt"].unique()):
        at = {**where, "prompt": prompt}
        rows = dirty[dirty["prompt"] == prompt]
        n = int((timed["prompt"] == prompt).sum())
        seen.tell(
            f"in_region.p{prompt}", f"{title}, at {prompt} tokens", len(rows), n, "timed parts", at
        )


def _costs(seen: Any, entries: Any) -> None:
    """Seconds of the compiler by part and together, and of the very first use."""
    for part in (*PARTS, None):
        name, words = part or "all", part or "both parts"
        seconds = entries.mean(seen.per_block("compile_s", part), "s")
        title = f"time inside the compiler over a block, {words}"
        seen.enter(f"compile_s.{name}", title, seconds, seen.compiling(part))
    for part in PARTS:
        rows = seen.records
        # the warm-up belongs to no cell, and its use 0 is the process's first
        first = (rows["kind"] == "compile") & rows["cell"].isna() & (rows["use"] == 0)
        chosen = rows[first & (rows["part"] == part) & (rows["status"] == "ok")]
        values = dict(zip(chosen["block"], pd.to_numeric(chosen["wall_s"]), strict=True))
        where = {"kind": "compile", "sut": seen.sut, "use": 0, "part": part, "status": "ok"}
        title = f"first use of {part} in a process, compiling and running"
        seen.enter(f"first_use.{part}", title, entries.mean(values, "s"), where)


def _pays(seen: Any, eager: Any, payback: Any) -> None:
    """Calls of each part, and requests, that pay for compiling, at every length."""
    kinds = {
        "prefill": ("prefill_s", "prefill", "prefills", "calls"),
        "decode": ("decode_s_per_token", "decode", "decode steps", "tokens"),
        "request": ("request_s", None, "whole requests", "calls"),
    }
    for prompt in seen.prompts:
        for name, (column, part, words, unit) in kinds.items():
            compiled, plain = seen.at(prompt, column), eager.at(prompt, column)
            saving = {b: plain[b] - compiled[b] for b in compiled.keys() & plain.keys()}
            if not saving:
                continue
            where = {**seen.compiling(part), "sut": [seen.sut, eager.sut]}
            found = payback.calls(seen.per_block("compile_s", part), saving, unit)
            title = f"{words} of {prompt} prompt tokens that pay for compiling"
            shared = {"where": where, "estimator": payback.ESTIMATOR}
            seen.enter(f"{name}_pays.p{prompt}", title, found, **shared)
            if name == "prefill":
                title = f"prompt tokens in prefills of {prompt} that pay for compiling"
                seen.enter(f"prefill_pays_tokens.p{prompt}", title, _times(found, prompt), **shared)


def _times(found: Any, factor: int) -> Any:
    if found.value is None:
        return replace(found, unit="tokens")
    ci = found.ci and tuple(None if end is None else end * factor for end in found.ci)
    return replace(found, value=found.value * factor, ci=ci, unit="tokens")


def _outputs(seen: Any, eager: Any) -> None:
    """Outputs of the shared prompts: the same as eager's of the same block, and where not."""
    ours, theirs = _by_check(seen), _by_check(eager)
    both = sorted(ours.keys() & theirs.keys())
    where = {"kind": "output", "sut": [seen.sut, eager.sut]}
    same = sum(ours[key] == theirs[key] for key in both)
    title = "checked outputs that are the same as eager's"
    seen.share("same_output", title, same, len(both), "outputs", where)
    tokens = [pair for key in both for pair in zip(ours[key], theirs[key], strict=False)]
    title = "tokens of checked outputs that are the same as eager's"
    seen.share("same_tokens", title, sum(a == b for a, b in tokens), len(tokens), "tokens", where)


def _by_check(seen: Any) -> dict[tuple[int, float, int], list[str]]:
    """Tokens by block, cell's length (0 in the warm-up) and prompt length."""
    rows = seen.records[seen.records["kind"] == "output"]
    keys = zip(rows["block"], rows["prompt"].fillna(0), rows["prompt_tokens"], strict=True)
    texts = rows["output_ids"] if len(rows) else []
    return {key: str(text).split() for key, text in zip(keys, texts, strict=True)}


def _crashes(seen: Any, entries: Any) -> None:
    """Of the sequences tried, how many crashed in prefill, in decode, or with the process."""
    tried = seen.records[seen.records["kind"].isin(["compile", "phase"])]
    tried = tried.assign(at=tried["prompt"].fillna(0))  # 0: the warm-up
    where = {"kind": ["compile", "phase"], "sut": seen.sut}
    sequences = tried.groupby(["block", "at"])
    bad = tried[tried["status"].isin(entries.CRASHED)]
    # a process that died says not in which part: it counts against both
    for part in PARTS:
        rows = bad[bad["part"].isna() | (bad["part"] == part)]
        k = len(rows.groupby(["block", "at"])) if len(rows) else 0
        title = f"cells and warm-ups whose {part} crashed"
        seen.share(f"{part}_crashes", title, k, len(sequences), "cells and warm-ups", where)
    if len(bad):
        first = str(bad["error"].dropna().iloc[0]).partition("\n")[0][:300]
        seen.tell("crash", "first crash, in its own words", first, len(bad), "records", where)
