# One session: a block of one SUT. The worker streams its records elsewhere and moves them in.


rule measure:
    input:
        # what these hold is in params.measured_by: a newer file alone re-measures nothing
        machine=ancient(rules.machine.output),
        environments=lambda w: ancient(
            SELECTION.environments(experiment_of(w.name), w.sut)
        ),
        artifacts=lambda w: ancient(SELECTION.artifacts(experiment_of(w.name), w.sut)),
        previous=lambda w: ancient(
            SELECTION.previous(experiment_of(w.name), w.sut, int(w.block))
        ),
    output:
        # update: older evidence stays until the new one is sealed
        raw=update(f"results/{SELECTION.here}/{{name}}/raw/{{sut}}/{{block}}.jsonl"),
        manifest=update(
            f"results/{SELECTION.here}/{{name}}/raw/{{sut}}/{{block}}.manifest.json"
        ),
    log:
        f"logs/{SELECTION.here}/{{name}}/{{sut}}/{{block}}.log",
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
