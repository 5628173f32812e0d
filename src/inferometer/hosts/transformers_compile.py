"""torch.compile of a forward pass, and an account of what the compiler really did.

The counts are torch's own: Dynamo's counters and metrics of each compilation, Inductor's count of
the kernels that it generated, and the recordings of CUDA graphs. A pass that Dynamo would give up
compiling (too many variants) raises instead of running eagerly, so that what is called compiled is.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch._dynamo import config
from torch._dynamo.utils import (
    compilation_time_metrics,
    counters,
    get_compilation_metrics,
    set_compilation_metrics_limit,
)
from torch._inductor import metrics
from torch._inductor.output_code import CompiledFxGraph

Forward = Callable[..., Any]

VARIANTS = 64
"""How often one forward pass may be compiled; torch's own default of 8 would fall back to eager."""
COMPILATIONS_KEPT = 4096
WHOLE_COMPILATION, GRAPH_RECORDING = "_compile.compile_inner", "CUDAGraphNode.record"
"""torch's names of the spans that hold all time of the compiler."""


class Compiler:
    """One compiled forward pass.

    Parameters
    ----------
    mode
        A mode of `torch.compile`.
    dynamic_shapes
        Compile for any length from the start. Without it torch compiles for the first length it
        meets, and for any length when it meets the second.
    """

    def __init__(self, forward: Forward, mode: str, dynamic_shapes: bool) -> None:
        config.recompile_limit = VARIANTS
        config.fail_on_recompile_limit_hit = True
        set_compilation_metrics_limit(COMPILATIONS_KEPT)
        self._skips = _cudagraph_skips()
        self._counted: dict[str, float] = {}
        self._told: set[str] = set()
        self.forward = torch.compile(forward, mode=mode, dynamic=True if dynamic_shapes else None)

    def activity(self) -> dict[str, Any]:
        """What the compiler did since the last call.

        Counts of graphs compiled, of those the recompilations, graph breaks, CUDA graphs skipped
        and recorded, kernels generated; `compile_s`, seconds inside the compiler and recording
        graphs; `compiled_in_region`, whether anything was compiled or recorded at all, and
        `compile_reasons` in words, those that were not told before.
        """
        compilations = [m for m in get_compilation_metrics() if not m.is_runtime]
        recompiled = [m.recompile_reason for m in compilations if m.recompile_reason]
        spans = [compilation_time_metrics.get(n, []) for n in (WHOLE_COMPILATION, GRAPH_RECORDING)]
        counted = {
            "graphs_compiled": counters["stats"]["unique_graphs"],
            "recompiles": len(recompiled),
            "graph_breaks": sum(counters["graph_break"].values()),
            "cudagraph_skips": counters["inductor"]["cudagraph_skips"],
            "cudagraphs_recorded": len(spans[1]),
            "kernels_generated": metrics.generated_kernel_count,
            "compile_s": sum(map(sum, spans)),
        }
        done: dict[str, Any] = {n: v - self._counted.get(n, 0) for n, v in counted.items()}
        self._counted = counted
        done["compiled_in_region"] = done["graphs_compiled"] + done["cudagraphs_recorded"] > 0
        words = [f"recompiled: {_first_line(reason)}" for reason in recompiled]
        words += [f"graph break: {_first_line(reason)}" for reason in counters["graph_break"]]
        words += [f"CUDA graph skipped: {reason}" for reason in self._skips]
        if new := [text for text in dict.fromkeys(words) if text not in self._told]:
            done["compile_reasons"] = "; ".join(new)
            self._told.update(new)
        return done


def _cudagraph_skips() -> list[str]:
    """A list that gets the reason of every CUDA graph skipped; torch logs it for GPUs alone."""
    found: list[str] = []
    original = CompiledFxGraph.post_compile

    def noting(graph: Any, *arguments: Any) -> None:
        original(graph, *arguments)
        if graph.disabled_cudagraphs_reason:
            reason = graph.disabled_cudagraphs_reason.removeprefix("skipping cudagraphs due to ")
            found.append(reason.strip(" :"))

    CompiledFxGraph.post_compile = noting
    return found


def _first_line(text: str) -> str:
    return text.partition("\n")[0]
