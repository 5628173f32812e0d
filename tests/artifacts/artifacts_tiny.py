"""A model small enough for tests, and a catalog that has it."""

from inferometer.artifacts import catalog

TINY = catalog.Architecture(
    layers=2,
    heads=4,
    kv_heads=2,
    head_dim=8,
    hidden=32,
    vocabulary=64,
    context=48,
    params=64 * 32 + 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 48 + 2 * 32) + 32,
    config={
        "model_type": "llama",
        "intermediate_size": 48,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
    },
    source="made up for tests",
)


def tiny(**changes) -> catalog.Catalog:
    """A catalog with the synthetic artifacts `tiny` (float32) and `tiny16` (bfloat16)."""
    shape = TINY.model_copy(update=changes)

    def entry(dtype: catalog.Dtype) -> catalog.Artifact:
        return catalog.Artifact(
            title="a tiny model",
            architecture="tiny",
            quantization=dtype,
            licence="none needed",
            source=catalog.SyntheticSource(kind="synthetic", seed=7, dtype=dtype),
        )

    return catalog.Catalog(
        schema_version=1,
        architectures={"tiny": shape},
        artifacts={"tiny": entry("float32"), "tiny16": entry("bfloat16")},
    )
