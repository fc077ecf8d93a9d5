"""A cell's page, for the terminal and as HTML: what its file says of it, and what its equations say themselves."""

from carousel.pages.facts import Facts, facts_of, sizes_for
from carousel.pages.html import html_page
from carousel.pages.index import html_index
from carousel.pages.speed import Speed, Speeds, read_speeds
from carousel.pages.text import text_page

__all__ = [
    "Facts",
    "Speed",
    "Speeds",
    "facts_of",
    "html_index",
    "html_page",
    "read_speeds",
    "sizes_for",
    "text_page",
]
