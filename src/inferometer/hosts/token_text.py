"""The bytes that each token of a vocabulary stands for, so that text can be streamed by token."""

import re
from collections.abc import Mapping

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def token_pieces(vocabulary: Mapping[str, int]) -> dict[int, bytes]:
    """UTF-8 bytes of each token id, of a vocabulary as tokenizers store it.

    Byte-level vocabularies (GPT-2's) spell each byte as one character; others (SentencePiece's)
    are text, with a mark for spaces and some tokens for single bytes.
    """
    letters = _byte_letters()
    byte_level = any(token.startswith("Ġ") for token in vocabulary)
    pieces = {}
    for token, number in vocabulary.items():
        if byte_level and all(letter in letters for letter in token):
            pieces[number] = bytes(letters[letter] for letter in token)
        elif not byte_level and (single := _BYTE_PIECE.fullmatch(token)):
            pieces[number] = bytes([int(single[1], 16)])
        else:
            pieces[number] = token.replace("\u2581", " ").encode()
    return pieces


def _byte_letters() -> dict[str, int]:
    """GPT-2's spelling: printable bytes are themselves, the others follow from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + place): byte for place, byte in enumerate(others)
    }
