"""Inferometer: measure local LLM inference and trace every reported number to raw records."""

__version__ = "0.1.0"
