"""Inferometer: measure local LLM inference and report it.

`snakemake reports/tr129.md` measures on this machine, analyses, and renders the report.
"""

from snakemake.utils import min_version

min_version("9.27")


configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/machine.smk"
include: "workflow/rules/environments.smk"
include: "workflow/rules/artifacts.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/tidy.smk"
include: "workflow/rules/analyse.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/audit.smk"


rule all:
    default_target: True
    input:
        expand("reports/{experiment}.md", experiment=EXPERIMENTS),
        "reports/claims.md",
