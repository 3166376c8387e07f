"""Draws bar charts as SVG that are readable on light and dark pages."""

from html import escape

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, "DejaVu Sans", sans-serif; fill: #24292f }
.title { font-size: 16px; font-weight: 600 }
.note, .value { fill: #57606a }
.panel { font-weight: 600 }
.own text { font-weight: 600 }
.own .value { fill: #24292f }
.bar { fill: #b6bfc9 }
.own .bar { fill: #2f6fdb }
@media (prefers-color-scheme: dark) {
  text, .own .value { fill: #e6edf3 }
  .note, .value { fill: #9ea7b3 }
  .bar { fill: #58626e }
  .own .bar { fill: #5b9bff }
}
"""

WIDTH, LABEL, VALUE, ROW = 810, 335, 90, 26


def bars(title, note, panels):
    """Returns the chart. `panels` is a list of (heading, [(label, value, text, is_ours)]), with one scale for all."""
    most = max(row[1] for _, rows in panels for row in rows)
    parts, y = [], 30
    parts.append(f'<text class="title" x="16" y="{y}">{escape(title)}</text>')
    y += 22
    parts.append(f'<text class="note" x="16" y="{y}">{escape(note)}</text>')
    for heading, rows in panels:
        y += 34
        if heading:
            parts.append(f'<text class="panel" x="16" y="{y}">{escape(heading)}</text>')
            y += 10
        for label, value, text, is_ours in rows:
            length = max(2, value / most * (WIDTH - LABEL - VALUE - 16))
            parts.append('<g class="own">' if is_ours else "<g>")
            parts.append(f'<text x="{LABEL - 10}" y="{y + 17}" text-anchor="end">{escape(label)}</text>')
            parts.append(f'<rect class="bar" x="{LABEL}" y="{y + 4}" width="{length:.1f}" height="{ROW - 8}" rx="2"/>')
            parts.append(f'<text class="value" x="{LABEL + length + 8:.1f}" y="{y + 17}">{escape(text)}</text></g>')
            y += ROW
        y -= 8
    height = y + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
    return "\n".join([head, f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>", *parts, "</svg>", ""])
