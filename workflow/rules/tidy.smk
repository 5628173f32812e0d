# Sealed raw files -> one table of observations.


rule tidy:
    input:
        raw=lambda w: SELECTION.sessions(experiment_of(w.name)),
    output:
        f"{RESULTS}/{{name}}/observations.parquet",
    log:
        f"logs/{MACHINE}/{{name}}/tidy.log",
    params:
        code=lambda w: SELECTION.code(experiment_of(w.name), "", "inferometer.tidy"),
        folder=subpath(output[0], parent=True),
    shell:
        "{INFEROMETER} tidy {params.folder} 2>&1 | tee {log}"
