"""Which quantization level for a risk and a memory: findings, thresholds and decision tree.

TR125 enters findings under the names below and the tree of each model (`decision`); the verbs
`decide quantization` and `gate` read them again. All differences are level minus `BASELINE`, in
percentage points (pp), on the same items.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from inferometer.findings import Branch, Case, Decision, Finding, Leaf, Node
from inferometer.quality import tiers

Findings = Mapping[str, Finding]

BASELINE = "f16"
LEVELS = (BASELINE, "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_s", "q2_k")
WORST = "worst"
"""In place of a benchmark: the benchmark on which a level loses most."""
RISKS = {"low": 1, "moderate": 2, "high": 3}


@dataclass(frozen=True)
class Threshold:
    """A figure of the decision tree and where it is from."""

    value: float
    unit: str
    source: str


APPENDIX = "Chimeraforge TR123-TR133, extended appendices"
HIGH_RISK_LOSS = Threshold(-2.0, "pp", f"{APPENDIX}, P.1: Q8_0 within -2 pp")
PASSING_LOSS = Threshold(tiers.PASS.least_pp, "pp", tiers.PASS.source)
COMPOSITE = Threshold(0.50, "", f"{APPENDIX}, P.1: composite of the moderate-risk gate")
MEMORY_SHARE = Threshold(0.8, "", f"{APPENDIX}, P.1: params_B x 2 < .8 x VRAM_GB")
F16_BYTES = Threshold(2.0, "bytes per parameter", f"{APPENDIX}, P.1: params_B x 2 < .8 x VRAM_GB")
TIGHT_GB = Threshold(2.0, "GB", f"{APPENDIX}, P.1: memory for the weights is extremely scarce")
NEVER = ("q2_k", f"{APPENDIX}, P.1: prohibited in all deployments")

ADVICE = {
    "f16": "Use F16.",
    "q8_0": "Use Q8_0.",
    "q4_k_m": "Use Q4_K_M.",
    "q3_k_s": "Use Q3_K_S.",
    "smaller": "Use a smaller model: no level that keeps the quality fits.",
    "not quantized": "Use F16, or a larger model: no level of the tree keeps the quality.",
    "above q4": "Use Q8_0, or a larger model at Q4_K_M.",
}


def level_name(model: str, level: str) -> str:
    """The SUT: `smollm2-135m.q4_k_m`; llama.cpp's name of the level in lower case."""
    return f"{model}.{level.lower()}"


def score_name(sut: str, metric: str) -> str:
    """A metric's mean over items, 0 to 1; colons of encoders' names become hyphens."""
    return f"{sut}.{re.sub('[^a-z0-9_-]', '-', metric.lower())}.score"


def difference_name(model: str, level: str, benchmark: str) -> str:
    """Level minus baseline on the same items, in pp, its intervals holding together."""
    return f"{level_name(model, level)}.{benchmark}.difference"


def tier_name(model: str, level: str, benchmark: str) -> str:
    """A name of `tiers.BOUNDS`, or "undecided"."""
    return f"{level_name(model, level)}.{benchmark}.tier"


def compatible_name(model: str, level: str) -> str:
    """ "pass", "fail" or "undecided": no more than `tiers.PASS` lost on every benchmark."""
    return f"{level_name(model, level)}.compatible"


def bits_name(model: str, level: str) -> str:
    """Bits per weight of all tensors, from their true types."""
    return f"{level_name(model, level)}.bits_per_weight"


def bytes_name(model: str, level: str) -> str:
    """Size of the file in bytes."""
    return f"{level_name(model, level)}.file_bytes"


def perplexity_name(model: str, level: str) -> str:
    """Perplexity over that of the baseline on the same text."""
    return f"{level_name(model, level)}.perplexity_ratio"


def kl_name(model: str, level: str) -> str:
    """Mean Kullback-Leibler divergence from the baseline per token, in nats."""
    return f"{level_name(model, level)}.kl"


def params_name(model: str) -> str:
    """Number of weights, tied ones once."""
    return f"{model}.params"


def decision_id(model: str) -> str:
    """Under which TR125 enters the tree of a model."""
    return f"quantization-{model}"


def required(model: str) -> list[str]:
    """The findings on which the tree of a model rests; `decision` refuses to do without.

    A level that was not made or measured gets a finding without value that says why.
    """
    return [
        params_name(model),
        bytes_name(model, "q8_0"),
        *(difference_name(model, level, WORST) for level in ("q8_0", "q4_k_m", "q3_k_s")),
        score_name(level_name(model, "q4_k_m"), "composite"),
    ]


def models(findings: Findings) -> list[str]:
    """The models that have findings, in their order."""
    suffix = ".params"
    return [name.removesuffix(suffix) for name in findings if name.endswith(suffix)]


def benchmarks(findings: Findings, model: str, level: str) -> list[str]:
    """The benchmarks on which a level of a model has a difference, `WORST` left out."""
    start, end = f"{level_name(model, level)}.", ".difference"
    names = [n[len(start) : -len(end)] for n in findings if n.startswith(start) and n.endswith(end)]
    return [name for name in names if name != WORST]


def levels(findings: Findings, model: str) -> list[str]:
    """The levels but the baseline: those of `LEVELS`, then others that have a difference."""
    start, end = f"{model}.", f".{WORST}.difference"
    there = [n[len(start) : -len(end)] for n in findings if n.startswith(start) and n.endswith(end)]
    others = [level for level in there if level not in LEVELS and "." not in level]
    return [*LEVELS[1:], *others]


def ends(finding: Finding | None) -> tiers.Ends | None:
    """The interval of a finding; None where the finding, its value or its interval is missing."""
    if finding is None or finding.value is None or finding.interval is None:
        return None
    return finding.interval.low, finding.interval.high


def compatibility(findings: Findings) -> dict[tuple[str, str], tiers.Cell]:
    """The compatibility matrix of every model and level but the baseline."""
    keys = [(model, level) for model in models(findings) for level in levels(findings, model)]
    return tiers.compatibility(
        {
            key: {
                name: ends(findings[difference_name(*key, name)])
                for name in benchmarks(findings, *key)
            }
            for key in keys
        }
    )


def decision(model: str, findings: Findings) -> Decision:
    """The tree of a model, every threshold bound to its finding.

    The reader's factors are `risk` (`RISKS`) and `vram_gb` (GB of 1e9 bytes for the weights and
    all else). Raises ValueError that lists those of `required` that are missing.
    """
    if missing := [name for name in required(model) if name not in findings]:
        raise ValueError(f"findings: the tree of {model} needs {', '.join(missing)}")
    tree = _Tree(model, findings)
    root = Branch(
        question="Is the risk high (medicine, law, finance, safety)?",
        case=Case(factor="risk", least=RISKS["high"]),
        yes=tree.high(),
        no=Branch(
            question="Is the risk moderate (customers, question answering, documents)?",
            case=Case(factor="risk", least=RISKS["moderate"]),
            yes=tree.moderate(),
            no=tree.low(),
        ),
    )
    return Decision(id=decision_id(model), title=f"Which quantization level? {model}", root=root)


def least_memory_gb(weights_gb: float) -> float:
    """The memory above which weights fill less than the share of it that the rule allows."""
    return weights_gb / MEMORY_SHARE.value


def f16_gb(findings: Findings, model: str) -> float | None:
    """Gigabytes of the weights at F16 by the rule of the tree; None without a count."""
    count = findings[params_name(model)].value
    return float(count) * F16_BYTES.value / 1e9 if isinstance(count, int | float) else None


def q8_gb(findings: Findings, model: str) -> float | None:
    """Gigabytes of the Q8_0 file; None where it was not made."""
    size = findings[bytes_name(model, "q8_0")].value
    return float(size) / 1e9 if isinstance(size, int | float) else None


def fits_question(label: str, weights_gb: float | None) -> str:
    """The question of the memory rule about a level."""
    if weights_gb is None:
        return f"Does {label} fit?"
    share, least = MEMORY_SHARE.value, least_memory_gb(weights_gb)
    weights = f"{label} ({weights_gb:.3g} GB) fills less than {share:.0%} of it"
    return f"Is there more memory than {least:.3g} GB, so that {weights}?"


def memory_findings(findings: Findings, model: str) -> dict[str, str]:
    """Question of the memory rule -> the finding that its threshold is made from."""
    return {
        fits_question("F16", f16_gb(findings, model)): params_name(model),
        fits_question("Q8_0", q8_gb(findings, model)): bytes_name(model, "q8_0"),
    }


@dataclass(frozen=True)
class _Tree:
    """The branches of one model."""

    model: str
    findings: Findings

    def high(self) -> Node:
        q8 = self._fits("Q8_0", q8_gb(self.findings, self.model), "q8_0", _leaf("smaller"))
        return self._fits(
            "F16",
            f16_gb(self.findings, self.model),
            "f16",
            self._keeps("q8_0", HIGH_RISK_LOSS, q8, _leaf("smaller")),
        )

    def moderate(self) -> Node:
        composite = score_name(level_name(self.model, "q4_k_m"), "composite")
        gate = Branch(
            question=f"Is the composite score of Q4_K_M at least {COMPOSITE.value:g}?",
            finding=composite,
            holds=_holds(self.findings[composite], COMPOSITE.value),
            yes=_leaf("q4_k_m"),
            no=_leaf("above q4"),
        )
        return self._keeps("q4_k_m", PASSING_LOSS, gate, self._q8_or_more())

    def low(self) -> Node:
        q4 = self._keeps("q4_k_m", PASSING_LOSS, _leaf("q4_k_m"), self._q8_or_more())
        return Branch(
            question=f"Are {TIGHT_GB.value:g} GB or more available for the weights?",
            case=Case(factor="vram_gb", least=TIGHT_GB.value),
            yes=q4,
            no=self._keeps("q3_k_s", PASSING_LOSS, _leaf("q3_k_s"), q4),
        )

    def _q8_or_more(self) -> Node:
        return self._keeps("q8_0", PASSING_LOSS, _leaf("q8_0"), _leaf("not quantized"))

    def _keeps(self, level: str, bound: Threshold, yes: Node, no: Node) -> Branch:
        name = difference_name(self.model, level, WORST)
        return Branch(
            question=f"Does {level.upper()} lose no more than {-bound.value:g} pp anywhere?",
            finding=name,
            holds=_holds(self.findings[name], bound.value),
            yes=yes,
            no=no,
        )

    def _fits(self, label: str, weights_gb: float | None, advice: str, no: Node) -> Node:
        """The memory rule; without a size the branch stays open."""
        question = fits_question(label, weights_gb)
        yes = _leaf(advice)
        if weights_gb is None:
            missing = memory_findings(self.findings, self.model)[question]
            return Branch(question=question, finding=missing, yes=yes, no=no)
        # the rule is strict, a case is not: the next number above the bound
        least = math.nextafter(least_memory_gb(weights_gb), math.inf)
        return Branch(question=question, case=Case(factor="vram_gb", least=least), yes=yes, no=no)


def _holds(finding: Finding, bound: float) -> bool | None:
    outcome = tiers.at_least(ends(finding), bound)
    return {"pass": True, "fail": False, "undecided": None}[outcome]


def _leaf(advice: str) -> Leaf:
    return Leaf(advice=ADVICE[advice])
