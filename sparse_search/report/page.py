"""The page: one file that works offline, verdict first, then figures, then tables."""

import base64
import html
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sparse_search.report import page_assets, page_tables
from sparse_search.report.tables import strict


class Section(NamedTuple):
    """One part of the page under its own heading; `body` is HTML."""

    title: str
    body: str


def page(
    title: str,
    verdict: Sequence[str],
    counts: dict[str, int],
    sections: Sequence[Section],
) -> bytes:
    """The whole page, plotly.js included once."""
    from plotly.offline import get_plotlyjs

    lead = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in verdict)
    parts = "".join(
        f"<section><h2>{html.escape(section.title)}</h2>{section.body}</section>"
        for section in sections
    )
    text = (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # A browser asks the server for an icon unless the page brings an empty one.
        f'<link rel="icon" href="data:,"><title>{html.escape(title)}</title>'
        f"<style>{page_assets.CSS}</style></head><body>"
        f'<header><p class="kicker">sparse_search report</p>'
        f'<h1>{html.escape(title)}</h1><div class="verdict">{lead}</div>'
        f'<p class="counts">{page_tables.counts_line(counts)}</p></header>'
        f"<main>{parts}</main>"
        f"<script>{get_plotlyjs()}</script><script>{page_assets.JS}</script>"
        "</body></html>\n"
    )
    return text.encode()


def embedded(name: str, value: Any) -> str:
    """Data for the script, which no content can break out of."""
    text = json.dumps(strict(value), allow_nan=False, separators=(",", ":"))
    return (
        f'<script type="application/json" id="{name}">'
        f"{text.replace('<', chr(92) + 'u003c')}</script>"
    )


def live_figure(name: str, figure: dict[str, Any], caption: str) -> str:
    """A plotly figure with its caption (HTML)."""
    return (
        f'{embedded(f"{name}-data", figure)}<figure><div class="scroll">'
        f'<div class="wide" id="{name}" data-figure="{name}-data"></div></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def downloads(name: str, *more: str) -> str:
    """Where a figure is as a file, for the end of its caption (HTML)."""
    kinds = [
        f"<a href={name}.{kind}>{kind.upper()}</a>"
        for kind in ("svg", "png", "pdf", *more)
    ]
    return f"Also as {', '.join(kinds[:-1])} and {kinds[-1]}."


def picture(image: bytes, alt: str, caption: str, column: bool = False) -> str:
    """A static figure, SVG or PNG, with its caption (HTML).

    One column wide, or the whole page.
    """
    # An image and not inline: the ids inside two SVG files may be the same.
    data = base64.b64encode(image).decode()
    kind = "png" if image.startswith(b"\x89PNG") else "svg+xml"
    return (
        f'<figure><div class="scroll"><img class="{"column" if column else "wide"}" '
        f'alt="{html.escape(alt)}" src="data:image/{kind};base64,{data}"></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
