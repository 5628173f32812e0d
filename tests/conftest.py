"""Fixtures that every folder of tests may use."""

from checkouts import checkout, environments_folder, measured, measured_once
from hypothesis import settings

__all__ = ["checkout", "environments_folder", "measured", "measured_once"]

settings.register_profile("unhurried", deadline=None)  # a busy machine is no wrong answer
settings.load_profile("unhurried")
