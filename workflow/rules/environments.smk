# One virtual environment per stack: envs/<stack>.txt -> .envs/<stack>/


rule environment:
    input:
        "envs/{stack}.txt",
    output:
        ".envs/{stack}/environment.json",
    log:
        "logs/environments/{stack}.log",
    conda:
        "../../envs/{wildcards.stack}.yaml"
    shell:
        "{INFEROMETER} environment {wildcards.stack} 2>&1 | tee {log}"
