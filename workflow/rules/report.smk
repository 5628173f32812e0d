# Findings -> the report and its evidence page, for the selected machine and depth.


rule selection:
    # a fresh clone may hold the report of another machine: the first run here renders it anew
    output:
        touch(f".inferometer/selected/{{experiment}}.{MACHINE}.{DEPTH}"),
    log:
        f"logs/selected/{{experiment}}.{MACHINE}.{DEPTH}.log",
    shell:
        "echo {wildcards.experiment} {MACHINE} {DEPTH} > {log}"


rule report:
    input:
        selection=rules.selection.output,
        findings=lambda w: SELECTION.results(w.experiment) / "findings.json",
        template=lambda w: SELECTION.template(w.experiment),
    output:
        report="reports/{experiment}.md",
        evidence="reports/{experiment}.evidence.md",
    log:
        "logs/reports/{experiment}.log",
    params:
        # quoted, not depended on: as an input it would measure the A/A check anew for any report
        calibration=lambda w: SELECTION.calibration(w.experiment),
        code=lambda w: SELECTION.code(w.experiment, "", "inferometer.reporting.render"),
        templates=SELECTION.shared_templates(),
        folder=subpath(input.findings, parent=True),
        overrides=lambda w: SELECTION.overrides(),
    shell:
        "{INFEROMETER} report {params.folder} {params.overrides} 2>&1 | tee {log}"
