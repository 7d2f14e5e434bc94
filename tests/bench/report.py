"""From runs to medians and ratios, to a table, to JSON, to a picture."""
import html
import json
import math
import os
import statistics
import subprocess

OURS = "relayd"
COSTS = ("cpu_s_per_gb", "cpu_us", "idle_kib", "p50_us")  # what a metric's bar in the picture shows: the first one there
NOISE = 0.10  # of the machine used by others in the median run: worth a word


class Metric:
    """Runs of several subjects, by round: the runs of one round are neighbours in time."""

    def __init__(self, name, about, goal=None, ours=OURS):
        """ours: the subject that the others are set beside."""
        self.name, self.about, self.goal, self.ours = name, about, goal, ours
        self.runs = {}
        self.notes = {}

    def add(self, subject, row):
        self.runs.setdefault(subject, []).append(row)

    def keys(self):
        found = []
        for rows in self.runs.values():
            for row in rows:
                found += [k for k in row if k not in found]
        return found

    def median(self, subject, key):
        values = [row[key] for row in self.runs.get(subject, []) if key in row]
        return statistics.median(values) if values else None

    def ratio(self, key, peer):
        """Ours to the peer's, round by round: what the machine did meanwhile cancels out. Median, least, most."""
        pairs = [a[key] / b[key] for a, b in zip(self.runs.get(self.ours, []), self.runs.get(peer, [])) if a.get(key) and b.get(key)]
        return (statistics.median(pairs), min(pairs), max(pairs)) if pairs else None

    def peers(self):
        return [s for s in self.runs if s != self.ours]

    def main_key(self):
        return next((k for k in COSTS if self.median(self.ours, k)), None)

    def others(self):
        values = [row["others"] for rows in self.runs.values() for row in rows if "others" in row]
        return statistics.median(values) if values else 0.0

    def as_json(self):
        subjects = {s: {"runs": rows, "median": {k: self.median(s, k) for k in self.keys() if self.median(s, k) is not None}}
                    for s, rows in self.runs.items()}
        ratios = {peer: {k: dict(zip(("median", "min", "max"), r)) for k in self.keys() if (r := self.ratio(k, peer))}
                  for peer in self.peers()}
        return {"about": self.about, "goal": self.goal, "subjects": subjects, "ratios": ratios, "notes": self.notes}

    def print(self):
        rounds = max((len(rows) for rows in self.runs.values()), default=0)
        print(f"\n## {self.name}: {self.about} (median of {rounds})", flush=True)
        keys = [k for k in self.keys() if k != "others"]
        print(f"   {'':15s}" + "".join(f"{k:>14s}" for k in keys))
        for subject in self.runs:
            values = (self.median(subject, k) for k in keys)
            print(f"   {subject:15s}" + "".join(f"{'-' if v is None else format(v, '.4g'):>14s}" for v in values))
        for peer in self.peers() if self.ours in self.runs else ():
            ratios = [(k, self.ratio(k, peer)) for k in keys if k != "lost"]
            print(f"   {self.ours} / {peer}: " + ", ".join(f"{k} {r[0]:.2f} [{r[1]:.2f}..{r[2]:.2f}]" for k, r in ratios if r))
        for key, value in self.notes.items():
            print(f"   {key}: {value}")
        if self.goal:
            print(f"   goal: {self.goal}")
        if self.others() > NOISE:
            print(f"   others used {self.others():.0%} of the machine meanwhile: rates and times say little, ratios of CPU more", flush=True)


def commit(root):
    got = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return got.stdout.strip()


def write(folder, head, metrics, curves):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as f:
        json.dump({**head, "metrics": {m.name: m.as_json() for m in metrics}, "curves": [c.as_json() for c in curves]}, f, indent=1)
    with open(os.path.join(folder, "results.svg"), "w", encoding="utf-8") as f:
        f.write(picture(head, metrics, curves))


# ---- the picture ------------------------------------------------------------------------------------------------------

class Curve:
    """A cost as work grows: lines over a logarithmic axis."""

    def __init__(self, name, x, unit):
        self.name, self.x, self.unit = name, x, unit
        self.lines = {}

    def add(self, line, x, y):
        self.lines.setdefault(line, []).append((x, y))

    def as_json(self):
        return {"name": self.name, "x": self.x, "unit": self.unit, "lines": self.lines}

    def print(self):
        print(f"\n## {self.name} ({self.unit})", flush=True)
        xs = sorted({x for points in self.lines.values() for x, _ in points})
        print(f"   {self.x:15s}" + "".join(f"{x:>12,d}" for x in xs))
        for line, points in self.lines.items():
            at = dict(points)
            print(f"   {line:15s}" + "".join(f"{format(at[x], '.4g') if x in at else '-':>12s}" for x in xs), flush=True)


COLOURS = {"relayd": "#0b6e4f", "haproxy": "#c0392b", "haproxy_splice": "#e08e45", "nginx": "#2c5aa0", "direct": "#888888"}
WIDTH, ROW, LEFT, PLOT = 900, 22, 170, 520
LOW, HIGH = 0.125, 4.0


def colour(name):
    return COLOURS.get(name.split(" ")[0], "#555555")


def text(x, y, words, size=12, anchor="start", fill="#222222"):
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{html.escape(words)}</text>'


def line(x1, y1, x2, y2, stroke, width=1.0):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{stroke}" stroke-width="{width}"/>'


def ratio_x(value):
    span = math.log(HIGH / LOW)
    return LEFT + PLOT * math.log(min(max(value, LOW), HIGH) / LOW) / span


def ratio_rows(metrics, top):
    """One row for each metric and peer: a dot at the median ratio, a line from the least to the most."""
    rows = [(m, m.main_key(), peer) for m in metrics if m.main_key() for peer in m.peers() if m.ratio(m.main_key(), peer)]
    bottom = top + 30 + ROW * len(rows)
    out = [text(LEFT, top, "Cost of relayd to its peers': left of 1 is less. Dot: median of the rounds, line: least to most.", 13)]
    for tick in (0.125, 0.25, 0.5, 1, 2, 4):
        out += [line(ratio_x(tick), top + 10, ratio_x(tick), bottom, "#222222" if tick == 1 else "#dddddd"),
                text(ratio_x(tick), bottom + 14, f"{tick:g}", 11, "middle")]
    for i, (metric, key, peer) in enumerate(rows):
        y = top + 30 + ROW * i
        middle, least, most = metric.ratio(key, peer)
        out += [text(LEFT - 8, y + 4, f"{metric.name} {key}", 11, "end"),
                line(ratio_x(least), y, ratio_x(most), y, colour(peer), 2),
                f'<circle cx="{ratio_x(middle):.1f}" cy="{y}" r="5" fill="{colour(peer)}"/>',
                text(LEFT + PLOT + 12, y + 4, f"{middle:.2f} [{least:.2f}..{most:.2f}] of {peer}", 11)]
    return out, bottom + 40


def curve_plot(curve, top):
    points = [p for line_ in curve.lines.values() for p in line_]
    low, high = min(x for x, _ in points), max(x for x, _ in points)
    most = max(y for _, y in points) * 1.1 or 1.0
    height = 150

    def place(x, y):
        along = math.log(x / low) / math.log(high / low) if high > low else 0.5
        return LEFT + PLOT * along, top + 20 + height * (1 - y / most)
    out = [text(LEFT, top, f"{curve.name}, {curve.unit}", 13), line(LEFT, top + 20 + height, LEFT + PLOT, top + 20 + height, "#222222"),
           text(LEFT - 8, top + 28, f"{most:.3g}", 11, "end"), text(LEFT - 8, top + 24 + height, "0", 11, "end")]
    for x in sorted({x for x, _ in points}):
        out.append(text(place(x, 0)[0], top + 36 + height, f"{x:,}", 11, "middle"))
    for i, (name, line_) in enumerate(curve.lines.items()):
        places = [place(x, y) for x, y in line_]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour(name)}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour(name)}"/>' for x, y in places]
        out.append(text(LEFT + PLOT + 12, top + 30 + 16 * i, name, 11, fill=colour(name)))
    return out, top + height + 70


def picture(head, metrics, curves):
    body = [text(20, 26, f"Portway {head['commit']}", 16), text(20, 44, f"{head['cpus']} CPUs, Linux {head['kernel']}, "
            f"{head['congestion_control']}, {head['rounds']} rounds of {head['seconds']:g} s, {head['when']}", 11, fill="#666666")]
    rows, top = ratio_rows(metrics, 80)
    body += rows
    for curve in curves:
        rows, top = curve_plot(curve, top)
        body += rows
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:.0f}" font-family="sans-serif">\n'
            f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n")
