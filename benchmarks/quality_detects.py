"""Which of TR125's measures find a damaged model: ``python benchmarks/quality_detects.py``.

Makes three copies of the F16 artifact: noise on some matrices until the perplexity is 1 % higher,
noise until it is many times as high, and the same file under another name. They are measured as
levels of a configuration, by TR125 itself in a copy of the repository, beside the baseline. Prints
one table: what each measure says of each copy. Exit status 1 unless the tokens find the first, the
answers find that the second lost 10 points or more, and all find the third the same. Quick depth
asks too few items for that; it shows that everything runs.

What is lost is judged on classification: of the tasks, it is the one of which a model this small
gets enough right to lose 10 points.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from inferometer import digests, environments, quantization
from inferometer.artifacts import catalog, fetch
from inferometer.findings import FindingsFile
from inferometer.quality import entries, paired
from inferometer.quality.paired import PairedAccuracy
from inferometer.quality.score_run import ITEMS
from inferometer.quality.tasks import TASKS
from inferometer.stacks.llamacpp_inprocess import LlamaCppInProcessSettings

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "config", "envs", "experiments", "profiles", "workflow", "claims")
ENVIRONMENTS = ("quantize", "llamacpp", "quality")
SOURCE, MODEL, LIKE = "smollm2-135m-f16-gguf", "smollm2-135m", "smollm2-135m-q8-0"
SLIGHTLY, BADLY, RELABELLED = "slightly", "badly", "relabelled"
FACTORS = {SLIGHTLY: (1.01, 0.001), BADLY: (5.0, 0.2)}
"""Copy -> perplexity over that of the original, and how near to it is near enough."""
JUDGED, LOST_PP = "classification", -10.0
MARGIN_PP, ALPHA = 5.0, 0.05
ROW = "{:12} {:>22} {:>24} {:>24} {:>24} {:>12}"
HEAD = (
    "copy",
    "perplexity ratio",
    "divergence (nats/token)",
    f"{JUDGED} (pp)",
    "tasks (pp)",
    "tier",
)


@dataclass(frozen=True)
class Seen:
    """TR125's findings, and each copy against the baseline on the judged task."""

    file: FindingsFile
    judged: dict[str, PairedAccuracy]


def damaged(folder: Path, name: str, source: Path) -> Path:
    """A copy whose perplexity is higher by the factor of its name."""
    factor, tolerance = FACTORS[name]
    texts = [item.text for item in TASKS["summarization"].load(ROOT / ITEMS).items]
    target = folder / f"{name}.gguf"
    threads = len(os.sched_getaffinity(0))
    job = {
        **{"source": str(source), "target": str(target), "texts": texts},
        **{"factor": factor, "tolerance": tolerance},
        "settings": LlamaCppInProcessSettings(context=1024, threads=threads).model_dump(),
    }
    python = environments.ensure(ROOT, "quantize").python
    script = Path(__file__).parent / "quality" / "damage.py"
    done = subprocess.run(
        [str(python), str(script), json.dumps(job)], capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    said = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{name}: noise of {said['noise_over_spread']:.3g} of their spread on {said['tensors']} "
        f"matrices, perplexity {said['perplexity']:.3g} x {said['perplexity_factor']:.4g}",
        flush=True,
    )
    return target


def copied(folder: Path) -> Path:
    """A repository without results, which uses the environments of this one."""
    where = folder / "repository"
    where.mkdir()
    for name in COPIED:
        source, target = ROOT / name, where / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    for name in ENVIRONMENTS:
        environments.ensure(ROOT, name)
    (where / ".envs").symlink_to(ROOT / ".envs")
    return where


def overrides(copies: dict[str, Path]) -> str:
    """The configuration that makes levels of the copies."""
    artifacts, suts = {}, {}
    for name, path in copies.items():
        artifact = f"copy-{name}"
        artifacts[artifact] = {
            **{"path": str(path), "sha256": digests.of_file(path)},
            **{"architecture": MODEL, "quantization": "F16", "licence": "Apache-2.0"},
        }
        common = {"artifact": artifact, "label": quantization.level_name(MODEL, name)}
        suts[name] = common | {
            "stack": "llamacpp",
            "settings": {"slots": 1, "context_per_slot": 1024},
            "like": LIKE,
        }
        suts[f"{name}-inside"] = common | {
            "stack": "llamacpp_inprocess",
            "companion": {"stack": "llamacpp_inprocess", "artifact": SOURCE},
            "like": f"{LIKE}-inside",
        }
    return json.dumps({"artifacts": artifacts, "experiments": {"tr125": {"suts": suts}}})


def run(where: Path, *words: str) -> None:
    """One verb; stops with its output when it fails."""
    command = [sys.executable, "-m", "inferometer", *words]
    done = subprocess.run(command, cwd=where, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout)[-2000:]
        sys.exit(f"{' '.join(words[:4])}: exit {done.returncode}\n{said}")


def measured(where: Path, copies: dict[str, Path], depth: str) -> Seen:
    """Findings of the baseline and the copies, one block each."""
    config = overrides(copies)
    served = [f"{MODEL}-f16", *copies]
    for sut in [name for one in served for name in (one, f"{one}-inside")]:
        begun = time.perf_counter()
        given = ("--sut", sut, "--block", "0", "--depth", depth, "--overrides", config)
        run(where, "measure", "tr125", *given)
        print(f"measured {sut}: {time.perf_counter() - begun:.0f} s", flush=True)
    suffix = "" if depth == "standard" else f"-{depth}"
    (results,) = where.glob(f"results/*/tr125{suffix}")
    for verb in ("tidy", "analyse"):
        more = ("--overrides", config) if verb == "analyse" else ()
        run(where, verb, str(results.relative_to(where)), *more)
    rows = pd.read_parquet(results / "observations.parquet")
    scores = {sut: entries.scores(judged(rows, sut)) for sut in served}
    against = {
        name: paired.compare_accuracy(scores[name], scores[served[0]], MARGIN_PP) for name in copies
    }
    return Seen(FindingsFile.load(results / "findings.json"), against)


def judged(rows: pd.DataFrame, sut: str) -> pd.DataFrame:
    """The scores of a SUT on the judged task."""
    asked = (rows["kind"] == "score") & (rows["phase"] == "answers") & rows["cell_valid"]
    return rows[asked & (rows["sut"] == sut) & (rows["task"] == JUDGED)]


def shown(file: FindingsFile, name: str) -> str:
    """Value and interval."""
    found = file[name]
    if found.value is None:
        return "no value"
    ends = found.interval
    return f"{found.value:.4g}" + (f" [{ends.low:.4g}, {ends.high:.4g}]" if ends else "")


def table(seen: Seen) -> None:
    """The baseline's own accuracy, and each copy against it."""
    file = seen.file
    base = quantization.score_name(quantization.level_name(MODEL, "f16"), "tasks")
    right = seen.judged[RELABELLED].b
    print(f"\nright answers of the baseline: {shown(file, base)} of {file[base].n} items,")
    print(f"on {JUDGED} {right.mean:.4g} of {seen.judged[RELABELLED].n}\n")
    print(ROW.format(*HEAD))
    for name, loss in seen.judged.items():
        tasks = shown(file, quantization.difference_name(MODEL, name, "tasks"))
        tokens = (quantization.perplexity_name(MODEL, name), quantization.kl_name(MODEL, name))
        lost = f"{loss.difference_pp:.4g} [{loss.ci_pp[0]:.4g}, {loss.ci_pp[1]:.4g}]"
        tier = file[quantization.tier_name(MODEL, name, "tasks")].value
        print(ROW.format(name, *(shown(file, one) for one in tokens), lost, tasks, str(tier)))
    print()


def low(file: FindingsFile, name: str) -> float:
    """The low end of an interval; below all where there is none."""
    ends = file[name].interval
    return -math.inf if ends is None or ends.low is None else ends.low


def verdict(seen: Seen) -> int:
    """0 when each copy is found by what should find it, and the relabelled one by nothing."""
    file, bad = seen.file, seen.judged[BADLY]
    perplexity = low(file, quantization.perplexity_name(MODEL, SLIGHTLY))
    divergence = low(file, quantization.kl_name(MODEL, SLIGHTLY))
    same = file[quantization.difference_name(MODEL, RELABELLED, "tasks")]
    apart = file[quantization.kl_name(MODEL, RELABELLED)]
    p_apart = file[f"{quantization.level_name(MODEL, RELABELLED)}.tasks.same_p"].value
    assert isinstance(p_apart, float)
    _, high = bad.ci_pp
    checks = {
        "perplexity finds the slightly damaged copy": perplexity > 1,
        "divergence finds the slightly damaged copy": divergence > 0,
        "answers find the badly damaged copy": high < 0,
        f"the badly damaged copy lost {-LOST_PP:g} points or more": bad.difference_pp <= LOST_PP,
        "tokens and answers of the relabelled copy are the same": same.value == apart.value == 0,
        f"the relabelled copy is equivalent within {MARGIN_PP:g} points": p_apart < ALPHA,
    }
    for what, holds in checks.items():
        print(f"{what}: {'yes' if holds else 'NO'}")
    return 0 if all(checks.values()) else 1


def main() -> None:
    """Make the copies, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", default="standard", choices=["quick", "standard", "full"])
    depth = parser.parse_args().depth
    source = fetch.fetch(SOURCE, catalog.shipped(), ROOT).path
    with tempfile.TemporaryDirectory(prefix="inferometer-damaged-") as folder:
        copies = {name: damaged(Path(folder), name, source) for name in FACTORS}
        copies[RELABELLED] = Path(shutil.copyfile(source, Path(folder, f"{RELABELLED}.gguf")))
        seen = measured(copied(Path(folder)), copies, depth)
    table(seen)
    sys.exit(verdict(seen))


if __name__ == "__main__":
    main()
