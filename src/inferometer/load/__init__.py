"""Load: the streaming client, closed and open loops, prompts, and the client's calibration."""
