"""Text from outside (files, options, records) as errors, terminals and pages may show it: short, without
secrets, and without characters that do something instead of being seen.
"""

import re
import unicodedata
from typing import Any

MOST_SHOWN = 100
"""Characters of a value that an error repeats."""
LONGEST_LINE = 300
"""Characters of what an error says about a configuration."""

_ACTING = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories of characters that act: controls, lone surrogates, line and paragraph separators."""
_BIDIRECTIONAL = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Characters that turn the direction of the text after them, and so can make it look like another."""
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^\s/?#@'\"]*@")
_SECRET_OPTION = re.compile(
    r"(?i)([?&;](?:sig|[^\s=&?;]*(?:secret|token|password|passwd|key|credential|signature)[^\s=&?;]*)=)"
    r"(?!\*\*\*)[^\s&'\"]+"
)
"""An option of a URI that looks like a secret, up to its value; then the value, if it is not masked yet.

`sig` is the signature in the address of an Azure container.
"""


def acting_character(text: str) -> str | None:
    """The first character of `text` that acts instead of being seen, such as an escape or a newline."""
    if text.isascii() and text.isprintable():
        return None
    return next((one for one in text if _acts(one)), None)


def acting_problem(text: str) -> str | None:
    """What is wrong with a value that must only have characters that are seen; None if nothing is."""
    character = acting_character(text)
    if character is None:
        return None
    name = {"\n": "line break", "\t": "tab"}.get(character, f"control character {character!a}")
    return f"{shown(text)} contains a {name}; remove it"


def escaped(text: str) -> str:
    r"""`text` with every character that acts replaced by its escape: a real ESC becomes `\x1b`."""
    if acting_character(text) is None:
        return text
    return "".join(ascii(one)[1:-1] if _acts(one) else one for one in text)


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _ACTING or character in _BIDIRECTIONAL


def shortened(text: str, most: int) -> str:
    """`text`, or its beginning and an ellipsis where it has more than `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def has_secret(text: str) -> bool:
    """Whether `text` holds a URI with a user, a password or an option that looks like a secret."""
    return without_secrets(text) != text


def without_secrets(text: str) -> str:
    """`text` with the secrets of URIs in it replaced: `gs://***@bucket`, `?secret_key=***`."""
    return _SECRET_OPTION.sub(r"\1***", _USER_AND_PASSWORD.sub("***@", text))


def shown(value: Any) -> str:
    """`value` as an error repeats it: in Python's notation, cut, without secrets."""
    beginning = value[: 4 * MOST_SHOWN] if isinstance(value, str) else value
    return shown_text(repr(beginning))


def shown_text(text: str) -> str:
    """`shown` without the quotes."""
    return shortened(without_secrets(escaped(text)), MOST_SHOWN)
