"""Payloads of a byte stream that arrives in arbitrary chunks: one a line, as events or as JSON."""

LONGEST_LINE_BYTES = 8 * 2**20
"""A stream without a line end for this long is no event stream."""


class DataLines:
    """Collect complete lines over chunk borders and give the payloads of `data:` lines.

    Other fields (`event:`, `id:`, comments) are skipped: the stacks put everything they say
    into `data:`, one object a line. With an empty prefix every line that is not empty is a
    payload: newline-delimited JSON.
    """

    def __init__(self, prefix: bytes = b"data:") -> None:
        self._prefix = prefix
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Payloads of the lines that `chunk` completes.

        Raises `ValueError` when a line grows beyond `LONGEST_LINE_BYTES`.
        """
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > LONGEST_LINE_BYTES:
            raise ValueError("a line without an end")
        prefix = self._prefix
        if not prefix:
            return [line for line in map(bytes.strip, lines) if line]
        return [line[len(prefix) :].strip() for line in lines if line.startswith(prefix)]
