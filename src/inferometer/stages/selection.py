"""What one run of the workflow selects: machine, depth, sessions, and what they depend on."""

import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from inferometer import config as configuration
from inferometer import digests, environments, experiments, machine, manifest, tidy
from inferometer.artifacts import fetch
from inferometer.design import Design
from inferometer.errors import UserError
from inferometer.experiments import Experiment
from inferometer.reporting import stamps
from inferometer.reporting.render import CALIBRATION
from inferometer.stacks.registry import stack_of
from inferometer.stages.repository import Repository

NOT_MEASURING = (
    *("progress", "provenance", "machine", "manifest", "records", "digests", "errors"),
    *("lock", "config", "design", "experiments", "environments", "artifacts", "findings"),
)
"""Modules that decide how a session is shown, stored or found, but not what it measures: an
edit there re-measures nothing."""

TEMPLATES = Path(__file__).parents[1] / "reporting" / "templates"


@dataclass(frozen=True)
class Selection:
    """The configuration's choice on this machine; the workflow's rules ask it for their inputs."""

    repository: Repository
    here: str

    @property
    def machine(self) -> str:
        """The machine whose evidence is used."""
        chosen = self.repository.config.machine
        return self.here if chosen == "auto" else chosen

    @property
    def measurable(self) -> bool:
        """Whether this run may measure: only on the machine itself."""
        return self.machine == self.here

    def results(self, name: str) -> Path:
        """The results folder of an experiment at the chosen depth, from the root."""
        return self._experiment(name).results(Path(), self.machine, self.repository.config.depth)

    def sessions(self, name: str) -> list[Path]:
        """Raw files that the tidy table is made of, in the order of measuring.

        On another machine's evidence: those that are there; `UserError` when there are none.
        """
        if not self.measurable:
            return self._existing(name)
        return [self.raw(name, sut, block) for sut, block in self._order(name)]

    def raw(self, name: str, sut: str, block: int) -> Path:
        """The raw file of one session, from the root."""
        depth = self.repository.config.depth
        return self._experiment(name).raw(Path(), self.machine, depth, sut, block)

    def priority(self, name: str, sut: str, block: int) -> int:
        """Higher for sessions that the design puts earlier."""
        order = self._order(name)
        return len(order) - order.index((sut, block)) if (sut, block) in order else 0

    def lock(self, stack: str) -> str:
        """Digest of a stack's pinned requirements."""
        return environments.lock_digest(self.repository.root, stack)

    def artifact(self, name: str) -> str:
        """What an artifact is: its sha256, or the digest of the recipe that it is made by."""
        return fetch.identity(name, self.repository.catalog, self.repository.root)

    def measured_by(self, name: str, sut: str) -> str:
        """Digest of everything whose change must re-measure a SUT."""
        experiment = self._experiment(name)
        content: dict[str, Any] = {
            "design": experiment.design.measurement_digest(sut, self.repository.config.depth),
            "code": self._measuring_code(name, sut),
            "environments": [self.lock(stack) for stack, _, _ in self._members(name, sut) if stack],
            "artifacts": [
                self.artifact(artifact) for _, artifact, _ in self._members(name, sut) if artifact
            ],
        }
        if measured_with := self._measures_with(experiment.design):
            content["measured_with"] = measured_with
        if self.repository.config.strict:
            content["software"] = digests.of_data(machine.software())
        return digests.of_data(content)

    def overrides(self) -> str:
        """An option that hands a changed configuration on to the verb; empty without a change."""
        config = self.repository.config
        known = experiments.names(self.repository.root)
        stored = configuration.load(self.repository.root / configuration.CONFIG_FILE, known=known)
        handed = {"experiments", "artifacts", "quality"}
        content = config.model_dump(mode="json", include=handed)
        if content == stored.model_dump(mode="json", include=handed):
            return ""
        return f"--overrides '{json.dumps(content)}'"

    def design(self, name: str) -> Design:
        """The design of an experiment."""
        return self._experiment(name).design

    def reads(self, name: str) -> dict[str, str]:
        """Digests of what the analysis of an experiment reads besides the observations."""
        root = self.repository.root
        return {
            path: digests.of_file(root / path) if (root / path).is_file() else "missing"
            for path in self.design(name).reads
        }

    def marker(self, name: str) -> Path:
        """A file that is newer than an experiment's page if that shows another machine or depth.

        Snakemake renders a page that exists only when something it is made from is newer; that
        findings of the chosen machine or depth are missing is no reason to it.
        """
        config, root = self.repository.config, self.repository.root
        path = Path(".inferometer/selected") / f"{name}.{self.machine}.{config.depth}"
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        try:
            shown = stamps.read(root / f"reports/{name}.md")
            ours = (shown.machine, shown.depth) == (self.machine, config.depth)
        except UserError:
            ours = False
        if not ours:
            (root / path).touch()
        elif not (root / path).exists():
            (root / path).touch()
            os.utime(root / path, (0, 0))
        return path

    def template(self, name: str) -> Path:
        """The report template of an experiment, from the root."""
        return self._experiment(name).folder.relative_to(self.repository.root) / "report.md.j2"

    def calibration(self, name: str) -> str:
        """Digest of the findings of the machine's A/A check, which the other reports quote."""
        path = Path("results") / self.machine / CALIBRATION / "findings.json"
        there = name != CALIBRATION and (self.repository.root / path).is_file()
        return digests.of_file(self.repository.root / path) if there else ""

    def shared_templates(self) -> str:
        """Digest of the templates that all reports extend."""
        return digests.of_data([digests.of_file(p) for p in sorted(TEMPLATES.glob("*.j2"))])

    def code(self, name: str, step: str, *modules: str) -> str:
        """Digest of the code of a later step."""
        return self._experiment(name).code_digest(step, *modules)

    def _measures_with(self, design: Design) -> dict[str, dict[str, str]]:
        """Digests of the items that a design measures with, by folder and file."""
        configured = self.repository.config.quality.data_dir
        named = {"quality.data_dir": configured}
        folders = {key: named.get(key, self.repository.root / key) for key in design.measures_with}
        return {
            key: {path.name: digests.of_file(path) for path in sorted(folder.glob("*.jsonl"))}
            if folder
            else {}
            for key, folder in folders.items()
        }

    def _measuring_code(self, name: str, sut: str) -> str:
        stacks = sorted({stack for _, _, stack in self._members(name, sut)})
        modules = [f"inferometer.stacks.{stack}" for stack in stacks]
        # what runs inside the stack's own environment, with the files beside it
        hosts = [
            f"inferometer.hosts.{host.stem}"
            for module in modules
            if (host := getattr(import_module(module), "HOST", None))
        ]
        return self._experiment(name).code_digest(
            "measure", *modules, *hosts, leave_out=NOT_MEASURING
        )

    def _members(self, name: str, sut: str) -> list[tuple[str | None, str | None, str]]:
        """(environment, artifact, stack) of a SUT and its companion."""
        spec = self._experiment(name).design.suts[sut]
        members = [spec, spec.companion] if spec.companion else [spec]
        where = f"{self._experiment(name).folder / 'design.yaml'}: suts.{sut}"
        found = []
        for member in members:
            stack, settings = stack_of(member, where)
            if member.artifact:
                self.repository.catalog.artifact(member.artifact)
            found.append((stack.environment_for(settings), member.artifact, stack.name))
        return found

    def _order(self, name: str) -> list[tuple[str, int]]:
        design = self._experiment(name).design
        return design.session_order(self.repository.config.depth, self.repository.suts(name))

    def _experiment(self, name: str) -> Experiment:
        return self.repository.experiment(name)

    def _existing(self, name: str) -> list[Path]:
        root = self.repository.root
        folder = self.results(name)
        found = [
            path.with_name(manifest.read(path)["raw"]["file"]).relative_to(root)
            for path in tidy.sessions(root / folder)
        ]
        if not found:
            there = sorted(p.parent.name for p in root.glob(f"results/*/{folder.name}"))
            raise UserError(
                f"machine: {self.machine} has no evidence in {folder}; "
                f"machines that have: {', '.join(there) or 'none'}. This machine is {self.here}"
            )
        return found
