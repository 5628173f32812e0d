"""What a block of a quality experiment does in the cells of each phase."""

from contextlib import suppress
from pathlib import Path

from inferometer import environments
from inferometer.errors import NotTestableHere, UserError
from inferometer.load import cell as closed_loops
from inferometer.quality import measuring, measuring_tokens, text_metrics
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.subjects import Served

PHASES = {
    "answers": measuring.measure_answers,
    "sampled": measuring.measure_answers,
    "letters": measuring.measure_letters,
    "choices": measuring_tokens.measure_choices,
    "texts": measuring_tokens.measure_texts,
    "speed": closed_loops.measure_closed_loop,
}


def prepare(root: Path) -> None:
    """Make the scorers' environment ahead of the first session, which would else wait for it.

    Where it cannot be made, the scores that need it say so.
    """
    with suppress(UserError):
        environments.ensure(root, text_metrics.ENVIRONMENT)


async def warm_up(run: BlockRun) -> int:
    """The declared number of requests; a worker is not timed and needs none."""
    if not isinstance(run.suts[0], Served):
        return 0
    return await closed_loops.warm_up(run)


async def measure(run: CellRun) -> CellOutcome:
    """Measure a cell in the way of its phase; what cannot be asked of the SUT is not testable."""
    try:
        if run.cell.phase != "speed":
            _require_weights(run)
        return await PHASES[run.cell.phase](run)
    except NotTestableHere as why:
        return CellOutcome(None, None, [], not_testable=str(why))


def _require_weights(run: CellRun) -> None:
    for sut in run.suts:
        if sut.artifact and sut.artifact.performance_only:
            raise NotTestableHere(
                f"{sut.artifact.name} has random weights, good for speed and memory and "
                "meaningless for quality; choose an artifact with real weights"
            )
