"""TR126: its figures, drawn from the findings; raw points are block values."""

from typing import Any

from inferometer.analysis import Ledger
from inferometer.reporting import figures as house

X = "prompt, tokens"
SPEED = {"prefill": "prefill_s", "decode": "decode_s_per_token"}


def figures(ledger: Ledger, arms: dict[str, Any]) -> dict[str, Any]:
    """File name -> figure; a model has figures when an arm of it was compared with eager."""
    drawn: dict[str, Any] = {}
    with house.style():
        for model in dict.fromkeys(seen.model for seen in arms.values()):
            eager = arms.get(f"{model}-eager")
            compared = [s for s in arms.values() if s.model == model and s.compiled and s.prompts]
            known = [s for s in compared if _found(ledger, s, "prefill_over_eager")[0]]
            if eager is not None and known:
                drawn[f"ratio-{model}"] = _ratios(ledger, model, known, eager)
                drawn[f"pays-{model}"] = _pays(ledger, model, known)
        compiled = [s for s in arms.values() if s.compiled]
        if compiled:
            drawn["cost"] = _cost(ledger, compiled)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _found(ledger: Ledger, seen: Any, name: str) -> tuple[list[int], list[house.Estimate]]:
    """Lengths at which a finding of an arm is defined, and its estimates."""
    names = {prompt: f"{seen.sut}.{name}.p{prompt}" for prompt in seen.prompts}
    return house.estimates(ledger.findings, names)


def _places(axes: Any, arms: list[Any]) -> dict[int, int]:
    """Length -> place: evenly spaced, so that arms stand side by side at each."""
    levels = sorted({prompt for seen in arms for prompt in seen.prompts})
    axes.set_xticks(range(len(levels)), [str(level) for level in levels])
    axes.set_xlim(-0.5, len(levels) - 0.5)
    return {level: place for place, level in enumerate(levels)}


def _aside(series: int, of: int) -> float:
    return 0.14 * (series - (of - 1) / 2)


def _ratios(ledger: Ledger, model: str, arms: list[Any], eager: Any) -> Any:
    titles = [f"{model}: {part}" for part in SPEED]
    figure, row = house.panels(titles, X, "time, compiled over eager", height=5.0)
    for axes, (part, column) in zip(row, SPEED.items(), strict=True):
        places = _places(axes, arms)
        for series, seen in enumerate(arms):
            kept, found = _found(ledger, seen, f"{part}_over_eager")
            raw: tuple[list[float], list[float]] = ([], [])
            for prompt in kept:
                ours, theirs = seen.at(prompt, column), eager.at(prompt, column)
                for block in ours.keys() & theirs.keys():
                    raw[0].append(places[prompt])
                    raw[1].append(ours[block] / theirs[block])
            at, shift = [places[prompt] for prompt in kept], _aside(series, len(arms))
            house.points(axes, at, found, seen.label, series, raw=raw, shift=shift)
        axes.axhline(1, color="#555555", linestyle="--", linewidth=1)
    row[0].set_ylim(bottom=0)  # shared, so only when both hold all they show
    house.legend(row[0])
    return figure


def _pays(ledger: Ledger, model: str, arms: list[Any]) -> Any:
    """Requests that pay; an arm that is not faster at any length has no point."""
    known = [(seen, *_found(ledger, seen, "request_pays")) for seen in arms]
    known = [item for item in known if item[1]]
    if not known:
        return None
    title = f"{model}: requests that pay for compiling"
    figure, axes = house.panel(title, X, "requests", height=4.8)
    places = _places(axes, arms)
    for series, (seen, kept, found) in enumerate(known):
        at, shift = [places[prompt] for prompt in kept], _aside(series, len(known))
        house.points(axes, at, found, seen.label, series, shift=shift)
    axes.set_yscale("log")
    house.legend(axes)
    return figure


def _cost(ledger: Ledger, arms: list[Any]) -> Any:
    title = "Time inside the compiler, in every process"
    figure, axes = house.panel(title, "SUT", "seconds", height=4.8)
    for series, part in enumerate(("prefill", "decode")):
        names = {place: f"{seen.sut}.compile_s.{part}" for place, seen in enumerate(arms)}
        kept, found = house.estimates(ledger.findings, names)
        raw: tuple[list[float], list[float]] = ([], [])
        for place in kept:
            values = list(arms[place].per_block("compile_s", part).values())
            raw[0].extend([place] * len(values))
            raw[1].extend(values)
        house.points(axes, kept, found, part, series, raw=raw, shift=_aside(series, 2))
    axes.set_xticks(range(len(arms)), [seen.sut for seen in arms], rotation=20)
    axes.set_ylim(bottom=0)
    house.legend(axes, columns=2)
    return figure
