"""MMLU and ARC-Challenge: items from the configured data folder, or lm-eval's tasks of the hub."""

from dataclasses import dataclass
from pathlib import Path

from inferometer.errors import UserError
from inferometer.quality.items import ChoiceItem, ItemSet, load_items
from inferometer.quality.multiple_choice import Style


@dataclass(frozen=True)
class Benchmark:
    """A public benchmark; no item of it is in the repository.

    Attributes
    ----------
    name
        Ours, and the beginning of its file's name in the data folder (`mmlu_285.jsonl`).
    hub_task
        lm-eval's task or group, which loads its items from the hub.
    style
        Whether lm-eval scores the texts of the choices or their letters.
    """

    name: str
    hub_task: str
    style: Style


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("arc_challenge", "arc_challenge", "text"),
        Benchmark("mmlu", "mmlu", "letter"),
    )
}


def benchmark(name: str) -> Benchmark:
    """One benchmark; `UserError` lists the known names."""
    if name not in BENCHMARKS:
        raise UserError(f"benchmark {name!r} is not known; there are: {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def benchmark_files(name: str, data_dir: Path) -> list[Path]:
    """The files in `data_dir` that have a benchmark's name."""
    return sorted(data_dir.expanduser().glob(f"{benchmark(name).name}*.jsonl"))


def offline_items(name: str, data_dir: Path) -> ItemSet[ChoiceItem]:
    """The items of a benchmark, from the one file in `data_dir` that has its name.

    Each line has `id`, `question`, `choices`, `answer` (a label), and where they apply `labels`
    (else A, B, ...) and `subject`. Raises `UserError` when there is no such file, or several.
    """
    found = benchmark_files(name, data_dir)
    if len(found) != 1:
        there = ", ".join(path.name for path in found) or "none"
        raise UserError(
            f"quality.data_dir {data_dir}: needs exactly one file {name}*.jsonl, has {there}"
        )
    return load_items(found[0], ChoiceItem)
