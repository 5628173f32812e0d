"""Which of TR125's measures find a damaged model: ``python benchmarks/quality_detects.py``.

Makes three copies of the F16 artifact: noise on some matrices until the perplexity is 1 % higher,
noise until it is several times as high, and the same file under another name. They are measured as
levels of a configuration, by TR125 itself in a copy of the repository, beside the baseline. Prints
one table: what each measure says of each copy. Exit status 1 unless the tokens find the first, the
answers the second, and nothing the third.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from inferometer import digests, environments, quantization
from inferometer.artifacts import catalog, fetch
from inferometer.findings import FindingsFile
from inferometer.quality.score_run import ITEMS
from inferometer.quality.tasks import TASKS

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "config", "envs", "experiments", "profiles", "workflow", "claims")
SOURCE, MODEL, LIKE = "smollm2-135m-f16-gguf", "smollm2-135m", "smollm2-135m-q8-0"
FACTORS = {"slightly": (1.01, 0.001), "badly": (4.0, 0.2)}
"""Copy -> perplexity over that of the original, and how near to it is near enough."""
RELABELLED = "relabelled"
ROW = "{:12} {:>24} {:>24} {:>28} {:>12}"


def damaged(folder: Path, name: str, source: Path) -> Path:
    """A copy whose perplexity is higher by the factor of its name."""
    factor, tolerance = FACTORS[name]
    texts = [item.text for item in TASKS["summarization"].load(ROOT / ITEMS).items[:16]]
    target = folder / f"{name}.gguf"
    settings = {"context": 1024, "threads": 2, "gpu_layers": 0, "kv_type": "f16"}
    job = {"source": str(source), "target": str(target), "texts": texts, "settings": settings}
    python = environments.ensure(ROOT, "quantize").python
    script = Path(__file__).parent / "quality" / "damage.py"
    command = [str(python), str(script), json.dumps(job | {"factor": factor, "tolerance": tolerance})]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    said = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{name}: noise of {said['noise_over_spread']:.3g} of the weights' spread, perplexity "
        f"x {said['perplexity_factor']:.3f}",
        flush=True,
    )
    return target


def overrides(copies: dict[str, Path]) -> str:
    """The configuration that makes levels of the copies."""
    artifacts, suts = {}, {}
    for name, path in copies.items():
        artifact = f"copy-{name}"
        artifacts[artifact] = {
            **{"path": str(path), "sha256": digests.of_file(path)},
            **{"architecture": MODEL, "quantization": "F16", "licence": "Apache-2.0"},
        }
        label = quantization.level_name(MODEL, name)
        served = {"stack": "llamacpp", "artifact": artifact, "label": label}
        suts[name] = served | {
            "settings": {"slots": 1, "context_per_slot": 1024},
            "like": LIKE,
        }
        suts[f"{name}-inside"] = served | {
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
        sys.exit(f"{' '.join(words[:4])}: exit {done.returncode}\n{(done.stderr or done.stdout)[-2000:]}")


def measured(where: Path, copies: dict[str, Path], depth: str) -> FindingsFile:
    """Findings of the baseline and the copies, one block each."""
    config = overrides(copies)
    served = [f"{MODEL}-f16", *copies]
    for sut in [name for one in served for name in (one, f"{one}-inside")]:
        print(f"measuring {sut}", flush=True)
        given = ("--sut", sut, "--block", "0", "--depth", depth, "--overrides", config)
        run(where, "measure", "tr125", *given)
    suffix = "" if depth == "standard" else f"-{depth}"
    (results,) = where.glob(f"results/*/tr125{suffix}")
    for verb in ("tidy", "analyse"):
        more = ("--overrides", config) if verb == "analyse" else ()
        run(where, verb, str(results.relative_to(where)), *more)
    return FindingsFile.load(results / "findings.json")


def shown(file: FindingsFile, name: str) -> str:
    """Value and interval."""
    found = file[name]
    if found.value is None:
        return "no value"
    ends = found.interval
    return f"{found.value:.4g}" + (f" [{ends.low:.4g}, {ends.high:.4g}]" if ends else "")


def main() -> None:
    """Make the copies, measure, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--depth", default="standard", choices=["quick", "standard", "full"])
    depth = parser.parse_args().depth
    source = fetch.fetch(SOURCE, catalog.load(), ROOT).path
    with tempfile.TemporaryDirectory(prefix="inferometer-damaged-") as folder:
        copies = {name: damaged(Path(folder), name, source) for name in FACTORS}
        copies[RELABELLED] = Path(shutil.copy2(source, Path(folder, "relabelled.gguf")))
        where = Path(folder, "repository")
        where.mkdir()
        for name in COPIED:
            one = ROOT / name
            shutil.copytree(one, where / name) if one.is_dir() else shutil.copy2(one, where / name)
        file = measured(where, copies, depth)
    print()
    print(ROW.format("copy", "perplexity ratio", "divergence (nats/token)", "right answers (pp)", "n"))
    for name in copies:
        level = quantization.level_name(MODEL, name)
        tasks = quantization.difference_name(MODEL, name, "tasks")
        cells = [shown(file, f"{level}.{key}") for key in ("perplexity_ratio", "kl")]
        print(ROW.format(name, *cells, shown(file, tasks), file[tasks].n))
    sys.exit(verdict(file))


def verdict(file: FindingsFile) -> int:
    """0 when each copy is found by what should find it, and the relabelled one by nothing."""
    slight = file[f"{MODEL}.slightly.perplexity_ratio"].interval
    bad = file[quantization.difference_name(MODEL, "badly", "tasks")].interval
    same = file[quantization.difference_name(MODEL, RELABELLED, "tasks")]
    tokens = slight is not None and slight.low > 1
    answers = bad is not None and bad.high < 0
    equal = same.value == 0 and file[f"{MODEL}.{RELABELLED}.kl"].value == 0
    for what, holds in (
        ("tokens find the slightly damaged copy", tokens),
        ("answers find the badly damaged copy", answers),
        ("the relabelled copy is the same", equal),
    ):
        print(f"{what}: {'yes' if holds else 'NO'}")
    return 0 if tokens and answers and equal else 1


if __name__ == "__main__":
    main()
