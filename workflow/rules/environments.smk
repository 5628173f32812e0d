# One virtual environment per stack: envs/<stack>.txt -> .envs/<stack>/


rule environment:
    input:
        "envs/{stack}.txt",
    output:
        ".envs/{stack}/environment.json",
    log:
        "logs/environments/{stack}.log",
    conda:
        "../../envs/{stack}.yaml"
    params:
        # with `--sdm conda` this job runs inside the twin's environment, which is then recorded
        prefix='--prefix "$CONDA_PREFIX"' if "conda" in deployment() else "",
    shell:
        "{INFEROMETER} environment {wildcards.stack} {params.prefix} 2>&1 | tee {log}"
