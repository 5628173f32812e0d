"""Fixtures that every folder of tests may use."""

from checkouts import checkout, environments_folder, measured, measured_once

__all__ = ["checkout", "environments_folder", "measured", "measured_once"]
