# One session: a block of one SUT. The worker streams its records elsewhere and moves them in.


rule measure:
    # No input on purpose: a marker of an environment or a model that is made anew would re-measure
    # everything that names it (docs/architecture.md). The worker makes what it misses, and
    # measured_by holds the digests of what a session depends on.
    output:
        # update: older evidence stays until the new one is sealed
        raw=update(f"results/{SELECTION.here}/{{name}}/raw/{{sut}}/{{block}}.jsonl"),
        manifest=update(
            f"results/{SELECTION.here}/{{name}}/raw/{{sut}}/{{block}}.manifest.json"
        ),
    log:
        f"logs/{SELECTION.here}/{{name}}/{{sut}}/{{block}}.log",
    # the order of the design: SUTs interleaved block by block
    priority: lambda w: SELECTION.priority(experiment_of(w.name), w.sut, int(w.block))
    resources:
        bench=1,
    params:
        experiment=lambda w: experiment_of(w.name),
        measured_by=lambda w: SELECTION.measured_by(experiment_of(w.name), w.sut),
        overrides=lambda w: SELECTION.overrides(),
    shell:
        "{INFEROMETER} measure {params.experiment} --sut {wildcards.sut}"
        " --block $((10#{wildcards.block})) --depth {DEPTH} --machine {SELECTION.here}"
        " --log {log} {params.overrides}"
