"""Refusals shared by the arithmetic of this package."""


def positive(**values: float) -> None:
    """Raise `ValueError` naming the first argument that is not above 0."""
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value:g}")
