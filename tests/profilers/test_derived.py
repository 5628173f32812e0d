"""Arithmetic on top of the table: amortization, its artefact, bytes, overhead, classes."""

from pathlib import Path

import pytest

from inferometer.economics import memory
from inferometer.economics.architecture import Architecture
from inferometer.errors import UserError
from inferometer.profilers import classes, derived, kineto
from inferometer.profilers.amortization import Load, amortization, denominator

CPU = Path(__file__).parent / "fixtures" / "kineto_2.13_cpu.json.gz"
TINY = Architecture("tiny", 2, 4, 2, 8, 32, 1000, 800, 2, 128)


def test_amortization_from_equal_tokens():
    full = amortization(Load(1, 64, 6400), Load(8, 64, 6400))
    assert (full.factor, full.maximum, full.share) == (8, 8, 1)
    none = amortization(Load(1, 64, 6400), Load(8, 64, 51200))
    assert (none.factor, none.share) == (1, 0)


def test_unequal_tokens_are_refused():
    with pytest.raises(ValueError, match="needs equal tokens"):
        amortization(Load(1, 64, 6400), Load(8, 48, 6400))
    with pytest.raises(ValueError, match="1 and 2 or more"):
        amortization(Load(2, 64, 1), Load(8, 64, 1))
    with pytest.raises(ValueError, match="above 0"):
        denominator(Load(1, 64, 0), Load(8, 64, 1))


def test_denominator_artefact_of_a_trace_with_load_and_warmup():
    # nothing is shared in the steady state (10 calls a token); 100,000 calls of load are in both
    one, many = Load(1, 100, 100_000 + 1_000), Load(8, 58, 100_000 + 4_640)
    found = denominator(one, many)
    assert found.ratio == pytest.approx(4.48, abs=0.01)
    assert found.tokens_ratio == pytest.approx(4.64)
    assert found.from_tokens > 1
    steady = amortization(Load(1, 58, 580), Load(8, 58, 4_640))
    assert (steady.factor, steady.share) == (1, 0)
    assert denominator(Load(1, 5, 50), Load(2, 5, 100)).from_tokens is None


def test_bytes_per_token_share_the_weights_and_not_the_cache():
    common = {"bits_per_weight": 16, "context_tokens": 10}
    alone = derived.bytes_per_token(TINY, sequences=1, **common)
    shared = derived.bytes_per_token(TINY, sequences=4, **common)
    kv = memory.kv_bytes(TINY, 10, 2)
    assert (alone, shared) == (1600 + kv, 400 + kv)


def test_overhead_of_profiling_is_a_paired_tost():
    plain = [1.00, 1.02, 0.99, 1.01, 1.00, 0.98, 1.03]
    light = [value * factor for value, factor in zip(plain, [1.01, 1.0, 1.02] * 3, strict=False)]
    heavy = [value * factor for value, factor in zip(plain, [1.31, 1.29, 1.3] * 3, strict=False)]
    assert derived.profiling_overhead(light, plain, 0.95, 1.05).equivalent
    found = derived.profiling_overhead(heavy, plain, 0.95, 1.05)
    assert not found.equivalent
    assert found.estimate == pytest.approx(1.3, abs=0.01)


def test_window_takes_parts_and_refuses_nothing_in_it():
    cpu = kineto.read_trace(CPU)
    first = int(cpu.of("operator")["start_ns"].min())
    found = derived.derive(cpu, tokens=1, window=(first, first + 50_000))
    assert found.busy_ns <= found.window_ns == 50_000
    assert found.busy_fraction == 1.0  # one operator, longer than the window
    with pytest.raises(UserError, match="neither device work nor operators"):
        derived.derive(cpu, tokens=1, window=(0, 10))
    with pytest.raises(UserError, match="before its start"):
        derived.derive(cpu, tokens=1, window=(10, 0))
    with pytest.raises(ValueError, match="tokens"):
        derived.derive(cpu, tokens=0)


@pytest.mark.parametrize(
    ("kind", "name", "label"),
    [
        ("kernel", "ampere_bf16_s16816gemm_bf16_128x64_ldg8_f2f_stages_64x3_tn", "gemm"),
        ("kernel", "nvjet_tst_64x8_64x16_4x1_v_bz_TNT", "gemm"),
        ("kernel", "void flash::flash_fwd_splitkv_kernel<Flash_fwd_kernel_traits>", "attention"),
        ("kernel", "void pytorch_flash::flash_fwd_kernel", "attention"),
        ("kernel", "triton_red_fused__to_copy_mean_mul_rms_norm_0", "norm"),
        ("kernel", "void at::native::elementwise_kernel<128, 4, direct_copy_kernel_cuda>", "copy"),
        ("kernel", "void at::native::vectorized_elementwise_kernel<4, silu_kernel>", "elementwise"),
        ("kernel", "void at::native::reduce_kernel<512, 1, ArgMaxOps<float>>", "sampling"),
        ("kernel", "void at::native::reduce_kernel<512, 1, MeanOps<float>>", "reduction"),
        ("kernel", "ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "communication"),
        ("kernel", "mystery<1>", "unknown"),
        ("operator", "aten::linear", "gemm"),
        ("operator", "aten::scaled_dot_product_attention", "attention"),
        ("operator", "aten::add_", "elementwise"),
        ("operator", "aten::_local_scalar_dense", "copy"),
        ("runtime_call", "cudaLaunchKernel_v7000", "launch"),
        ("runtime_call", "cuLaunchKernelEx", "launch"),
        ("runtime_call", "cudaStreamSynchronize", "synchronise"),
        ("memcpy", "anything", "memcpy"),
    ],
)
def test_classes_of_real_names(kind, name, label):
    assert classes.classify(kind, name) == label
