# One virtual environment per stack: envs/<stack>.txt -> .envs/<stack>/. Sessions make what they
# miss themselves; this target makes it ahead, and with conda where `--sdm conda` asks for it.


rule environment:
    output:
        ".envs/{stack}/environment.json",
    log:
        "logs/environments/{stack}.log",
    conda:
        "../../envs/{stack}.yaml"
    params:
        lock=lambda w: SELECTION.lock(w.stack),
        prefix='--prefix "$CONDA_PREFIX"' if "conda" in deployment() else "",
    shell:
        "{INFEROMETER} environment {wildcards.stack} {params.prefix} 2>&1 | tee {log}"
