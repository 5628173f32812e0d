"""How long TR129 takes and what it uses: ``python benchmarks/tr129.py``.

Makes a copy of the repository in a temporary folder and runs there, on this machine, quick depth
end to end (environment and model are made before the clock starts), a dry run with nothing to do,
the analysis and report of the committed standard evidence, and the calibration of the client.
Prints one table; a ratio is to the limit. Exit status 1 when a limit is passed.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
COPIED = ("Snakefile", "config", "envs", "experiments", "profiles", "workflow", "claims")
ROW = "{:56} {:>10} {:>10} {:>7}"


class PeakMemory(threading.Thread):
    """Largest resident memory of a process and its descendants, servers left out, in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.running = process, 0, True

    def run(self) -> None:
        """Sample until stopped."""
        while self.running:
            try:
                family = [self.process, *self.process.children(recursive=True)]
                used = [p.memory_info().rss for p in family if not _is_server(p)]
                self.peak = max(self.peak, sum(used))
            except psutil.Error:
                pass
            time.sleep(0.1)


def _is_server(process: psutil.Process) -> bool:
    words = process.cmdline()
    return any("llamacpp_server.py" in word for word in words[:2])


def timed(command: list[str], where: Path) -> tuple[float, int]:
    """Seconds and peak memory of a command; stops with its output when it fails."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=where, stdout=output, stderr=output)
        watch = PeakMemory(psutil.Process(process.pid))
        watch.start()
        code = process.wait()
        watch.running = False
        if code:
            output.seek(0)
            sys.exit(f"{' '.join(command)}: exit {code}\n{output.read()[-2000:]}")
    return time.perf_counter() - begun, watch.peak


def inside_cells(results: Path) -> float:
    """Share of the sessions' wall time inside measured cells."""
    timings = [json.loads(p.read_text())["timing"] for p in results.glob("raw/*/*.manifest.json")]
    return sum(t["cells_s"] for t in timings) / sum(t["wall_s"] for t in timings)


def copied(folder: Path) -> Path:
    """A working copy without results, its environment and model ready."""
    for name in COPIED:
        source = ROOT / name
        target = folder / name
        shutil.copytree(source, target) if source.is_dir() else shutil.copy2(source, target)
    subprocess.run(
        [sys.executable, "-m", "inferometer", "environment", "llamacpp"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "inferometer", "fetch", "smollm2-135m-q4_1"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def main() -> int:
    """Run everything and print the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    snakemake = [sys.executable, "-m", "snakemake"]
    rows: list[tuple[str, float, float, str]] = []
    with tempfile.TemporaryDirectory() as name:
        where = copied(Path(name))
        command = [*snakemake, "reports/tr129.md", "--config", "depth=quick"]
        wall_s, peak = timed(command, where)
        rows.append(("quick depth, after installation", wall_s, 180, "s"))
        rows.append(("memory of the workflow besides the server", peak / 1e6, 500, "MB"))
        nothing_s, _ = timed([*command, "-n"], where)
        rows.append(("snakemake -n with nothing to do", nothing_s, 3, "s"))
        for results in sorted(ROOT.glob("results/*/tr129")):
            target = where / results.relative_to(ROOT)
            shutil.copytree(results, target)
            begun = time.perf_counter()
            for verb in ("tidy", "analyse", "report"):
                timed([sys.executable, "-m", "inferometer", verb, str(target)], where)
            machine = results.parent.name
            spent = time.perf_counter() - begun
            rows.append((f"tidy, analysis and report, {machine}", spent, 15, "s"))
            outside = 100 * (1 - inside_cells(results))
            rows.append((f"wall time outside cells, {machine}", outside, 20, "%"))
        done = subprocess.run(
            [sys.executable, "-m", "inferometer", "calibrate", "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows += calibration_rows(json.loads(done.stdout))
    print(ROW.format("TR129", "seen", "limit", "ratio"))
    for label, seen, limit, unit in rows:
        print(ROW.format(label, f"{seen:.3g} {unit}", f"{limit:g} {unit}", f"{seen / limit:.2f}"))
    return int(any(seen > limit for _, seen, limit, _ in rows))


def calibration_rows(calibration: dict) -> list[tuple[str, float, float, str]]:
    """The client's own errors under both loads."""
    rows = []
    for load in ("streams", "rate"):
        seen = calibration[load]
        for key, label, limit, scale, unit in (
            ("added_ttft_p50_s", "added TTFT, median", 0.6, 1e3, "ms"),
            ("added_ttft_p99_s", "added TTFT, p99", 2, 1e3, "ms"),
            ("schedule_lag_p99_s", "schedule lag, p99", 2, 1e3, "ms"),
            ("cpu_s_per_1000_tokens", "CPU per 1,000 tokens", 0.1, 1, "s"),
        ):
            if seen[key] is not None:
                rows.append((f"client at {seen['load']}: {label}", seen[key] * scale, limit, unit))
    return rows


if __name__ == "__main__":
    sys.exit(main())
