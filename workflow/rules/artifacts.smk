# Model files, fetched into the user's cache and verified. Sessions fetch what they miss; this
# target fetches ahead.


rule artifact:
    output:
        ".inferometer/artifacts/{artifact}.json",
    log:
        "logs/artifacts/{artifact}.log",
    params:
        sha256=lambda w: SELECTION.repository.catalog.artifact(w.artifact).sha256,
        overrides=lambda w: SELECTION.overrides(),
    shell:
        "{INFEROMETER} fetch {wildcards.artifact} --marker {output} {params.overrides} 2>&1"
        " | tee {log}"
