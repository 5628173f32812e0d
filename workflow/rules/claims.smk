# The registry of published claims, judged by arithmetic and by the findings at hand.


rule claims:
    input:
        registry=[f"claims/{path.name}" for path in sorted(ROOT.glob("claims/*.yaml"))],
        findings=[
            path.relative_to(ROOT)
            for path in sorted(ROOT.glob("results/*/*/findings.json"))
        ],
    output:
        overview="reports/claims.md",
        pages=[
            f"reports/claims/{path.name.replace('.yaml', '.md')}"
            for path in sorted(ROOT.glob("claims/*.yaml"))
        ],
        table="reports/claims/table.html",
        figure=multiext("reports/claims/verdicts", ".svg", ".png"),
    log:
        "logs/claims.log",
    params:
        code=lambda w: of_code(
            SOURCE / "inferometer" / "claims" / "report.py",
            SOURCE / "inferometer" / "claims" / "verdicts.py",
            search=SOURCE,
        ),
    shell:
        "{INFEROMETER} claims report 2>&1 | tee {log}"
