# Findings -> the report and its evidence page, for the selected machine and depth.


rule report:
    input:
        # newer than a page of another machine or depth, such as a fresh clone may hold
        selection=lambda w: SELECTION.marker(w.experiment),
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
