# Model files, fetched into the user's cache and verified. Sessions fetch what they miss; this
# target fetches ahead.


rule artifact:
    output:
        ".inferometer/artifacts/{artifact}.json",
    log:
        "logs/artifacts/{artifact}.log",
    params:
        identity=lambda w: SELECTION.artifact(w.artifact),
        overrides=lambda w: SELECTION.overrides(),
    shell:
        "{INFEROMETER} fetch {wildcards.artifact} --marker {output} {params.overrides} 2>&1"
        " | tee {log}"
