"""Profilers: two collectors, nsys and Kineto, one kernel table, and what is derived from it."""
