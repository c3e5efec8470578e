"""Text of a program's, fit for a report, a terminal and a file: whatever it holds, and if there is any to be had."""

from __future__ import annotations

from typing import Any

MOST = 10_000  # characters
SHOWN = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), 127)}  # but for tab and new line


def plain(text: str) -> str:
    """`text` without what cannot be written: lone surrogates and control characters are spelt out, the end is cut."""
    if text.isprintable() and len(text) <= MOST:  # surrogates are not
        return text
    if len(text) > MOST:
        text = f"{text[:MOST]}... and {len(text) - MOST:,} characters more"
    return text.translate(SHOWN).encode(errors="backslashreplace").decode()


def words_of(thing: Any) -> str:
    """`str(thing)`, or that there is none: to ask runs the program's code."""
    try:
        return str(thing)
    except Exception as error:
        return f"(its text cannot be had: {type(error).__name__})"


def plain_data(data: Any) -> Any:
    """The same lists and dicts, with all text plain."""
    if isinstance(data, str):
        return plain(data)
    if isinstance(data, (list, tuple)):
        return [plain_data(each) for each in data]
    if isinstance(data, dict):
        return {plain_data(key): plain_data(value) for key, value in data.items()}
    return data
