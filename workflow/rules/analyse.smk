# Observations -> findings, verdicts, decisions and figures.


rule analyse:
    input:
        rules.tidy.output,
    output:
        f"{RESULTS}/{{name}}/findings.json",  # which names every figure and its digest
    log:
        f"logs/{MACHINE}/{{name}}/analyse.log",
    params:
        code=lambda w: SELECTION.code(
            experiment_of(w.name), "analyse", "inferometer.analysis"
        ),
        design=lambda w: SELECTION.design(experiment_of(w.name)).digest,
        reads=lambda w: SELECTION.reads(experiment_of(w.name)),
        folder=subpath(output[0], parent=True),
        overrides=lambda w: SELECTION.overrides(),
    shell:
        "{INFEROMETER} analyse {params.folder} {params.overrides} 2>&1 | tee {log}"
