"""TR125 asks every item of each level, once; speed and log-probabilities are cells of their own."""

from inferometer import digests
from inferometer.artifacts import quantize
from inferometer.quality import cells
from inferometer.quality.cells import prepare
from inferometer.quality.measuring import QualityEffort as Effort
from inferometer.session import BlockRun, CellOutcome, CellRun
from inferometer.subjects import InProcess

__all__ = ["Effort", "measure", "prepare", "warm_up"]


async def warm_up(run: BlockRun) -> int:
    """What is in the file of the level, once; then as in every quality experiment."""
    sut = run.suts[0]
    if isinstance(sut, InProcess) and run.block == 0 and sut.artifact is not None:
        seen = quantize.facts_of_file(sut.artifact.name, sut.artifact.path, run.root, "")
        types = sorted((tensor.name, tensor.type) for tensor in seen.tensors)
        shares = {kind: count / seen.weights for kind, count in seen.weights_by_type.items()}
        run.append(
            {
                **{"kind": "file", "artifact": seen.artifact, "file_bytes": seen.file_bytes},
                **{"file_sha256": seen.sha256, "weights": seen.weights},
                "bits_per_weight": seen.bits_per_weight,
                "types_sha256": digests.of_data(types),
                "types": ", ".join(f"{kind} {share:.2%}" for kind, share in shares.items()),
                "fallback_tensors": sum(tensor.wanted is not None for tensor in seen.tensors),
            }
        )
    return await cells.warm_up(run)


async def measure(run: CellRun) -> CellOutcome:
    """As in every quality experiment; after a speed cell, what the server's processes hold."""
    outcome = await cells.measure(run)
    if run.cell.phase == "speed":
        held = sum(each.memory_info().rss for each in run.suts[0].server.processes())
        run.append({"kind": "memory", "resident_bytes": held})
    return outcome
