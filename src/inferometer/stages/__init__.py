"""Command-line stages that only join pieces of the library."""
