# The stable identity of this machine, stored beside its results.


rule machine:
    output:
        f"results/{SELECTION.here}/machine.json",
    log:
        f"logs/{SELECTION.here}/machine.log",
    shell:
        "{INFEROMETER} machine --store {output} > {log} 2>&1"
