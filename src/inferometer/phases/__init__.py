"""Inference in process, phase by phase: how cells are measured, and what a block says of them."""
