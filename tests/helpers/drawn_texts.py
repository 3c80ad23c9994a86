"""Reading what a drawn figure says."""

from __future__ import annotations

import html
import re


def texts_of(svg: bytes) -> list[str]:
    """All texts of an SVG, which is saved with text as text."""
    found = re.findall(r">([^<>\n]+)</t(?:ext|span)>", svg.decode())
    return [html.unescape(text).strip() for text in found]
