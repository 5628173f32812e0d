"""The load generators that ``client_peers.py`` sets side by side."""
