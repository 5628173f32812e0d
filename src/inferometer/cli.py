"""The command line: one verb for each stage, usable with and without Snakemake."""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence

from inferometer import __version__
from inferometer.errors import UserError

VERBS: dict[str, tuple[str, str]] = {
    # verb -> (module with add_arguments and a runner, one line of help), in the order of use
    "machine": ("inferometer.machine", "show this machine's fingerprint, id and readings"),
    "meters": (
        "inferometer.stages.meters",
        "show what can be metered here, and why the rest cannot",
    ),
    "calibrate": ("inferometer.load.calibration", "measure the load client's own error"),
    "environment": ("inferometer.stages.environment", "make the environment of a stack"),
    "fetch": ("inferometer.stages.fetch", "bring an artifact into the cache and verify it"),
    "benchmarks": (
        "inferometer.stages.benchmarks",
        "bring the items of MMLU and ARC-Challenge from their hub into a folder",
    ),
    "measure": ("inferometer.stages.measure", "measure one session (one block of one SUT)"),
    "tidy": ("inferometer.tidy", "turn sealed raw files into observations.parquet"),
    "analyse": ("inferometer.analysis", "turn observations into findings and figures"),
    "report": ("inferometer.stages.report", "render a report from findings"),
    "trace": ("inferometer.audit.trace", "follow a number of a report down to its raw records"),
    "audit": ("inferometer.audit.verify", "recompute and verify every committed report"),
    "stats-check": (
        "inferometer.stats.check",
        "simulate coverage and error rates of the statistics",
    ),
    "decide": ("inferometer.stages.decide", "answer a question of deployment from findings"),
    "gate": ("inferometer.stages.gate", "check a quality gate against findings, by exit status"),
    "claims": ("inferometer.claims.cli", "check the published claims and render their verdicts"),
}

RESULTS = "results/epyc-2c-24g-371767/tr129"  # committed, so that the examples work everywhere

EXAMPLES: dict[str, str] = {
    "machine": """\
  inferometer machine             what identifies this machine, and what it reads now
  inferometer machine --json      the same for programs""",
    "meters": """\
  inferometer meters              energy, power, clocks and memory that can be read here
  inferometer meters --seconds 5  with a longer look at the power""",
    "calibrate": """\
  inferometer calibrate           what the client adds to the times it takes, about 20 s""",
    "environment": """\
  inferometer environment llamacpp      from envs/llamacpp.txt into .envs/llamacpp
Sessions make the environment that they miss; this makes it ahead.""",
    "fetch": """\
  inferometer fetch --list              the models, their size and licence, which are here
  inferometer fetch smollm2-135m-q4_1   98 MB into the cache
Sessions fetch what they miss; this fetches ahead.""",
    "benchmarks": """\
  inferometer benchmarks ~/data/benchmarks --items 300
Through lm-eval's own tasks, where the dataset hub can be reached; then ask them by
snakemake reports/tr125.md --config quality='{data_dir: ~/data/benchmarks}'""",
    "measure": """\
  inferometer measure tr129 --sut llamacpp-serial --block 0 --depth quick
One start of the server, every cell once; the raw file and its manifest go to
results/<this machine>/tr129-quick/. Snakemake calls this for all blocks.""",
    "tidy": f"""\
  inferometer tidy {RESULTS}
The first step after measuring; then come analyse and report.""",
    "analyse": f"""\
  inferometer analyse {RESULTS}
Reads observations.parquet, writes findings.json, figures and decisions.""",
    "report": f"""\
  inferometer report {RESULTS}
Reads findings.json and writes reports/tr129.md and its evidence page.""",
    "trace": """\
  inferometer trace reports/tr129.md llamacpp-serial.serial_fraction
The name of a number is the part after # in its link.""",
    "audit": """\
  inferometer audit                     everything, about a minute
  inferometer audit reports/tr129.md    one report and its evidence
Exit status 1 and a list of problems when something does not fit.""",
    "stats-check": """\
  inferometer stats-check --quick       about a minute, writes nothing
  inferometer stats-check               writes reports/statistics.md""",
    "decide": """\
  inferometer decide stack --workload rag --agents 4 --slo-p95 5s
Answers from the findings of TR130: `snakemake reports/tr130.md` makes them.""",
    "claims": """\
  inferometer claims --source s001 --verdict impossible
  inferometer claims show s001-h5-jain
  inferometer claims add mydoc --title "My report\"""",
}

EPILOG = """\
The usual way is Snakemake, which calls these verbs in order:
  snakemake reports/tr129.md                          measure here, analyse, report
  snakemake reports/tr129.md --config depth=quick     a first look in three minutes
Without the machine that measured:
  inferometer trace reports/tr129.md llamacpp-serial.serial_fraction
  inferometer audit
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; a user's mistake is one message on stderr and exit status 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = _parser(words)
    args = parser.parse_args(words)
    try:
        return args.run(args)
    except UserError as error:
        print(f"inferometer: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "inferometer: interrupted; what was measured is kept, run again to go on",
            file=sys.stderr,
        )
        return 130
    except BrokenPipeError:
        return 0


def _parser(words: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="inferometer",
        description="Measure local LLM inference and trace every reported number to raw records.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"inferometer {__version__}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    chosen = next((word for word in words if not word.startswith("-")), None)
    for name, (module, summary) in VERBS.items():
        sub = verbs.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=f"examples:\n{EXAMPLES[name]}" if name in EXAMPLES else None,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:  # only its own module is imported, so that each verb starts quickly
            loaded = importlib.import_module(module)
            loaded.add_arguments(sub)
            runner: Callable[[argparse.Namespace], int]
            runner = loaded.run_command if hasattr(loaded, "run_command") else loaded.run
            sub.set_defaults(run=runner)
    return parser


if __name__ == "__main__":
    sys.exit(main())
