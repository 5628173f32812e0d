# What this machine is; the fingerprint itself goes into every manifest.


rule machine:
    log:
        "logs/machine.log",
    shell:
        "{INFEROMETER} machine 2>&1 | tee {log}"
