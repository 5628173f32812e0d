# Recompute and verify all committed evidence; makes no file.


rule audit:
    log:
        "logs/audit.log",
    shell:
        "{INFEROMETER} audit 2>&1 | tee {log}"
