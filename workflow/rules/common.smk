# Configuration, selection and digests that the rules share; no rule of its own.

import sys
from pathlib import Path

from inferometer import machine
from inferometer.digests import of_code
from inferometer.errors import UserError
from inferometer.experiments import SOURCE
from inferometer.stages.repository import opened
from inferometer.stages.selection import Selection

ROOT = Path(workflow.basedir)
INFEROMETER = f"{sys.executable} -m inferometer"

try:
    SELECTION = Selection(opened(ROOT, dict(config)), machine.current_id())
except UserError as error:
    print(f"inferometer: {error}", file=sys.stderr)
    sys.exit(1)

EXPERIMENTS = list(SELECTION.repository.experiments)
MACHINE = SELECTION.machine
DEPTH = SELECTION.repository.config.depth
RESULTS = f"results/{MACHINE}"

# Snakemake takes stock of a folder once: markers made while it plans would count as missing.
for experiment in EXPERIMENTS:
    SELECTION.marker(experiment)


# One measurement at a time, whatever `--resources` says; a profile's own limit would be lost as
# soon as anyone types one. An internal call: Snakemake is pinned, and a test watches it.
if workflow.is_main_process:
    workflow.register_resource("bench", 1)


onstart:
    # While a session measures, the workflow must sleep. With a limit to the rate of jobs, and there
    # is one by default, Snakemake 9.27 looks for jobs to start once a second, and once more for
    # every job that has ended: after 40 sessions that took a quarter of a core from the
    # measurement. Without one it looks when a job ends.
    workflow.scheduler.job_rate_limiter = None


wildcard_constraints:
    experiment="|".join(EXPERIMENTS),
    machine=r"[a-z0-9.\-]+",
    name=f"({'|'.join(EXPERIMENTS)})(-quick|-full)?",
    sut=r"[a-z0-9\-]+",
    block=r"\d\d+",
    stack=r"[a-z\-]+",
    artifact=r"[a-z0-9._\-]+",


def experiment_of(name):
    """The experiment of a results folder's name: `tr129-quick` belongs to `tr129`."""
    return name.partition("-")[0]


def deployment():
    """Names of the software deployment methods that the command line asks for."""
    return [
        str(method).lower() for method in workflow.deployment_settings.deployment_method
    ]
