"""From runs to medians and ratios, to a table, to JSON, to a picture."""
import html
import json
import math
import os
import statistics
import subprocess
import sys
import time

import goals

OURS = "relayd"
COSTS = ("cpu_s_per_gb", "cpu_us", "idle_kib", "p50_us")  # what a metric's bar in the picture shows: the first one there
NOISE = 0.10  # of the machine used by others in the median run: worth a word


class Metric:
    """Runs of several subjects, by round: the runs of one round are neighbours in time."""

    def __init__(self, name, about, ours=OURS):
        """ours: the subject that the others are set beside."""
        self.name, self.about, self.ours = name, about, ours
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
        return {"about": self.about, "goals": goals.of_metric(self), "subjects": subjects, "ratios": ratios, "notes": self.notes}

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
        for row in goals.of_metric(self):
            print(f"   goal: {row['what']} {row['goal']}: {goals.figure(row)}, {row['verdict']}")
        if self.others() > NOISE:
            print(f"   others used {self.others():.0%} of the machine meanwhile: rates and times say little, ratios of CPU more", flush=True)


def commit(root):
    got = subprocess.run(["git", "-C", root, "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return got.stdout.strip()


# ---- a run --------------------------------------------------------------------------------------------------------------

class Tee:
    """What is printed is kept, too: RESULTS.md shows it whole."""

    def __init__(self, *files):
        self.files = files

    def write(self, words):
        for file in self.files:
            file.write(words)

    def flush(self):
        for file in self.files:
            file.flush()


def write_whole(path, words):
    """The old file or the new one, never half of it."""
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(words)
    os.replace(path + ".new", path)


class Results:
    """All that a run has measured so far, on disk after each metric: a run that is cut short keeps what it had."""

    def __init__(self, folder, head):
        self.folder, self.head = folder, head
        self.metrics, self.curves, self.figures, self.took = [], [], {}, {}
        self.began = self.last = time.monotonic()
        os.makedirs(folder, exist_ok=True)
        self.output = open(os.path.join(folder, "output.txt"), "w", encoding="utf-8")  # pylint: disable=consider-using-with
        sys.stdout, self.stdout = Tee(sys.stdout, self.output), sys.stdout

    def clock(self, name):
        """A metric is done: what it took, with what was prepared for it alone."""
        now = time.monotonic()
        self.took[name] = self.took.get(name, 0) + now - self.last
        print(f"   took {now - self.last:.1f} s, {(now - self.began) / 60:.1f} min so far", flush=True)
        self.last = now
        self.write()

    def metric(self, metric):
        metric.print()
        self.metrics.append(metric)
        self.clock(metric.name)

    def curve(self, name, *curves):
        for curve in curves:
            curve.print()
        self.curves += curves
        self.clock(name)

    def control(self, name, figures):
        """Of the control plane: figures by name, or a list of runs."""
        self.figures[name] = figures
        self.clock(name)

    def goals(self):
        return goals.table({m.name: m for m in self.metrics}, self.figures)

    def write(self):
        whole = {**self.head, "control": self.figures, "metrics": {m.name: m.as_json() for m in self.metrics},
                 "curves": [c.as_json() for c in self.curves], "goals": self.goals(), "took_s": self.took}
        write_whole(os.path.join(self.folder, "results.json"), json.dumps(whole, indent=1))
        write_whole(os.path.join(self.folder, "results.svg"), picture(self.head, self.metrics, self.curves))

    def end(self):
        print("\n" + "\n".join([*goals.lines(self.goals()), "", f"## took {sum(self.took.values()) / 60:.1f} min"]))
        for name, seconds in sorted(self.took.items(), key=lambda item: -item[1]):
            print(f"   {name:15s}{seconds:8.1f} s")
        print(f"\nbench: written to {os.path.relpath(self.folder)}/results.json and results.svg", flush=True)
        self.write()
        self.close()

    def close(self):
        sys.stdout = self.stdout
        self.output.close()


def headline(head):
    """What was measured where, one line."""
    return ", ".join(f"{k} {v}" for k, v in head.items() if not isinstance(v, (dict, list)))


def beside(head):
    """What it was measured beside and with, one line; "" for what was written before versions were."""
    return ", ".join(f"{name} {version}" for name, version in head.get("versions", {}).items())


def publish(folder, target):
    """RESULTS.md and its picture, from what the last run left in the folder."""
    if not os.path.exists(os.path.join(folder, "results.json")):
        sys.exit(f"bench: there is no {os.path.relpath(folder)}/results.json: make bench comes first")
    with open(os.path.join(folder, "results.json"), encoding="utf-8") as f:
        whole = json.load(f)
    with open(os.path.join(folder, "output.txt"), encoding="utf-8") as f:
        output = f.read()
    rows = whole["goals"]
    reached = sum(row["reached"] for row in rows)
    missing = sorted({goal.metric for goal in goals.GOALS} - {row["metric"] for row in rows})
    words = [f"# One run of `make bench`, {'in part' if missing else 'whole'}", "", headline(whole) + ". [How to read it](README.md).", "",
             *([f"Beside and with: {beside(whole)}.", ""] if beside(whole) else []),
             *([f"Not measured: {', '.join(missing)}.", ""] if missing else []),
             f"Reached: {reached} of {len(rows)} goals.", "", *goals.markdown(rows), "",
             "![ratios to the peers and costs as work grows](results.svg)", "", "```", output.strip(), "```", ""]
    write_whole(os.path.join(target, "RESULTS.md"), "\n".join(words))
    with open(os.path.join(folder, "results.svg"), encoding="utf-8") as f:
        write_whole(os.path.join(target, "results.svg"), f.read())


# ---- the picture ------------------------------------------------------------------------------------------------------

class Curve:
    """A cost as work grows: lines over a logarithmic axis, each point a median of rounds that are neighbours in time."""

    def __init__(self, name, x, unit, ours=OURS):
        self.name, self.x, self.unit, self.ours = name, x, unit, ours
        self.lines = {}

    def add(self, line, x, y):
        """One round of one point."""
        self.lines.setdefault(line, {}).setdefault(x, []).append(y)

    def points(self, line):
        """(x, median, least, most)"""
        return [(x, statistics.median(ys), min(ys), max(ys)) for x, ys in sorted(self.lines[line].items())]

    def xs(self):
        return sorted({x for points in self.lines.values() for x in points})

    def ratio(self, peer, x):
        pairs = [a / b for a, b in zip(self.lines[self.ours].get(x, []), self.lines[peer].get(x, [])) if b]
        return (statistics.median(pairs), min(pairs), max(pairs)) if pairs else None

    def as_json(self):
        return {"name": self.name, "x": self.x, "unit": self.unit, "rounds": self.lines, "lines": {line: self.points(line) for line in self.lines}}

    def print(self):
        rounds = max((len(ys) for points in self.lines.values() for ys in points.values()), default=0)
        print(f"\n## {self.name} ({self.unit}; median of {rounds})", flush=True)
        xs = self.xs()
        print(f"   {self.x:33s}" + "".join(f"{x:>20,d}" for x in xs))
        for line in self.lines:
            at = {x: middle for x, middle, _, _ in self.points(line)}
            print(f"   {line:33s}" + "".join(f"{format(at[x], '.4g') if x in at else '-':>20s}" for x in xs))
        for peer in (line for line in self.lines if line != self.ours and self.ours in self.lines):
            ratios = [self.ratio(peer, x) for x in xs]
            print(f"   {self.ours + ' / ' + peer:33s}" + "".join(f"{f'{r[0]:.2f} [{r[1]:.2f}..{r[2]:.2f}]' if r else '-':>20s}" for r in ratios))
        sys.stdout.flush()


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
    lines = {name: curve.points(name) for name in curve.lines}
    points = [p for line_ in lines.values() for p in line_]
    low, high = min(p[0] for p in points), max(p[0] for p in points)
    most = max(p[3] for p in points) * 1.1 or 1.0
    height = 150

    def place(x, y):
        along = math.log(x / low) / math.log(high / low) if high > low else 0.5
        return LEFT + PLOT * along, top + 20 + height * (1 - y / most)
    out = [text(LEFT, top, f"{curve.name}, {curve.unit}", 13), line(LEFT, top + 20 + height, LEFT + PLOT, top + 20 + height, "#222222"),
           text(LEFT - 8, top + 28, f"{most:.3g}", 11, "end"), text(LEFT - 8, top + 24 + height, "0", 11, "end")]
    for x in curve.xs():
        out.append(text(place(x, 0)[0], top + 36 + height, f"{x:,}", 11, "middle"))
    for i, (name, line_) in enumerate(lines.items()):
        places = [place(x, middle) for x, middle, _, _ in line_]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour(name)}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour(name)}"/>' for x, y in places]
        out += [line(*place(x, least), *place(x, highest), colour(name)) for x, _, least, highest in line_]
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
