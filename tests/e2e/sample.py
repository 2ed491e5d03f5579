"""Words of a text and how often they occur."""

import re
from collections import Counter


def read_text(path):
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def words(text):
    return re.findall(r"[a-z]+", text.lower())


def most_common(text, limit=10):
    """Return the most frequent words of a text."""
