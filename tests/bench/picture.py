"""The measurements as one SVG: bars of ratios to `bare`, on a logarithmic scale."""
import html
import math

ROW, GAP, LABEL, WIDTH, MARGIN = 20, 62, 130, 900, 24
BAR = WIDTH - LABEL - 2 * MARGIN - 150  # room for the number behind the longest bar
OURS, PEER, LIMIT, FAILED = "#d9480f", "#748ca3", "#b8c4ce", "#c92a2a"
STYLE = ("text{font:13px system-ui,sans-serif;fill:#222}.title{font-weight:600;font-size:15px}"
         ".small{font-size:11px;fill:#667}.value{font-variant-numeric:tabular-nums}")


def text(x, y, content, style="", anchor="start"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">'
            f"{html.escape(content)}</text>")


def short(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


class Scale:
    """Places on the axis: logarithmic for ratios, from the least to the greatest; linear for counts,
    which may be 0."""

    def __init__(self, values, ratios):
        self.ratios = ratios
        self.low = min(0.8, *values, 0.8) if ratios else 0
        self.high = max(1.25, *values, 1.25) if ratios else max(1, *values, 1)

    def at(self, value):
        if not self.ratios:
            return BAR * value / self.high
        return BAR * math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self):
        if not self.ratios:
            return []
        steps = [m * 10 ** e for e in range(-1, 6) for m in (1, 2, 5)]
        inside = [s for s in steps if self.low <= s <= self.high]
        return inside if len(inside) <= 8 else [s for s in inside if math.log10(s) % 1 == 0]


def panel(measurement, top):
    rows = measurement.rows
    ratios = measurement.name not in ("idle", "zombies")
    key = "to_bare" if ratios else "median"
    values = [row[key] for row in rows if row.get(key) is not None]
    scale = Scale(values, ratios)
    left = MARGIN + LABEL
    bottom = top + 30 + ROW * len(rows)
    shapes = [text(MARGIN, top + 14, measurement.title, "title")]
    for tick in scale.ticks():
        x = left + scale.at(tick)
        colour = "#888" if tick == 1 else "#e4e8ec"
        shapes.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top + 24}" y2="{bottom}" '
                      f'stroke="{colour}"/>')
        shapes.append(text(x, bottom + 13, f"{tick:g}", "small", "middle"))
    for index, row in enumerate(rows):
        shapes += bar(row, key, scale, left, top + 26 + ROW * index, ratios)
    return shapes, bottom + GAP - 26


def bar(row, key, scale, left, y, ratios):
    name = row["program"]
    label = text(left - 8, y + 14, name, "", "end")
    if row.get(key) is None:
        return [label, text(left + 4, y + 14, f"failed: {row.get('failed', 'no value')}", "small")]
    colour = OURS if name.startswith("aiorun") else LIMIT if name == "bare" else PEER
    # From the axis of 1, to either side: a bar that starts elsewhere would claim a size.
    start, end = sorted((scale.at(1) if ratios else 0, scale.at(row[key])))
    value = f"{short(row[key])}{'×' if ratios else ''}"
    if row.get("upper") is not None and ratios:
        value += f"  ({row['to_peer']:.2f}× {row['peer']})"
    return [label,
            f'<rect x="{left + start:.1f}" y="{y + 3}" width="{max(end - start, 1.5):.1f}" '
            f'height="{ROW - 6}" rx="2" fill="{colour}"/>',
            text(left + end + 6, y + 14, value, "value")]


def draw(measurements):
    shapes, top = [], MARGIN + 46
    for measurement in measurements:
        drawn, top = panel(measurement, top)
        shapes += drawn
    head = [text(MARGIN, MARGIN + 6, "aiorun beside its peers", "title"),
            text(MARGIN, MARGIN + 24,
                 "Ratios to “bare”, a supervisor of the least code there can be; shorter is better. "
                 "Logarithmic. In brackets: to the best peer of the same kind.", "small")]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            f'viewBox="0 0 {WIDTH} {top}"><style>{STYLE}</style>'
            f'<rect width="100%" height="100%" fill="#fff"/>'
            + "".join(head + shapes) + "</svg>\n")
