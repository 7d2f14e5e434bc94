"""What is wanted of each metric, and whether a run reached it: the table at the end of a run, in its JSON and in RESULTS.md."""
import collections

BEST = ("haproxy", "nginx")  # the better of the two in this run, by the median
SPLICE, COPY, NGINX, SSH = ("haproxy_splice",), ("haproxy",), ("nginx",), ("ssh_r",)

# metric, key in its rows, most or least, limit, peers (none: the limit is a figure by itself), what it says beside "x the peer"
Goal = collections.namedtuple("Goal", "metric key sign limit peers says", defaults=((), ""))
# Of the control plane: where its figure is in the results.
Figure = collections.namedtuple("Figure", "metric path sign limit says")

GOALS = [
    *(Goal(f"{way}{n}", "cpu_s_per_gb", "<=", 0.8, SPLICE) for way in ("bulk", "up") for n in (1, 8)),
    *(Goal(f"{way}{n}", "gbit_s", ">=", 1.0, SPLICE) for way in ("bulk", "up") for n in (1, 8)),
    *(Goal(name, "cpu_s_per_gb", "<=", 0.45, COPY) for name in ("metered1", "metered8", "http1m", "https1m")),
    Goal("crr", "cpu_us", "<=", 0.85, BEST),
    *(Goal(name, key, "<=", 0.85, BEST) for name in ("rr1", "rr1_busy") for key in ("p50_us", "p99_us")),
    Goal("rr64", "cpu_us", "<=", 0.75, BEST),
    *(Goal(name, "cpu_us", "<=", 0.5, NGINX) for name in ("udp64", "udp1200", "dns")),
    *(Goal(name, "lost", "<=", 0) for name in ("udp64", "udp1200", "dns")),
    *(Goal(name, key, "<=", 1.0, NGINX) for name in ("udplat", "udplat_busy") for key in ("p50_us", "p99_us")),
    *(Goal(f"idle{n}", key, "<=", 1.0) for n in (1000, 5000, 9000) for key in ("idle_kib", "echoed_kib")),
    *(Goal(f"idle{n}", "base_kib", "<=", 5120) for n in (1000, 5000, 9000)),
    *(Goal(name, "cpu_us", "<=", 0.9, BEST) for name in ("http", "http10k", "http_close")),
    Goal("h2", "cpu_us", "<=", 1.0, BEST),
    Goal("tls", "cpu_us", "<=", 1.0, NGINX),
    Goal("quality", "p99_us", "<=", 1.0, ("haproxy leastconn", "nginx random two")),
    *(Goal(name, "cpu_s_per_gb", "<=", 1.5, COPY, "rathole's own, without encryption") for name in ("tunnel_bulk1", "tunnel_bulk8")),
    Goal("tunnel_crr", "cpu_us", "<=", 1.45, COPY, "0.6 of rathole's own"),
    Goal("tunnel_rr1", "p50_us", "<=", 0.9, SSH, "the only other tunnel here"),
    Goal("tunnel_udp64", "cpu_us", "<=", 1.1, NGINX, "0.5 of rathole's own"),
    Goal("tunnel_idle", "idle_kib", "<=", 3.0),
    Goal("tunnel_idle", "echoed_kib", "<=", 3.0),
    Goal("workers", "connections_s", ">=", 1.6, ("one worker",)),
    *(Goal("limits", key, "within", 2.0) for key in ("1_off_percent", "8_off_percent")),
    *(Figure("api", ("api", f"sqlite {what}", "vs_bare"), ">=", 0.5, f"{what}: requests/s, x the bare handler") for what in ("get", "list 20")),
    *(Figure("api", ("api", f"sqlite {what}", "p99_ms"), "<=", 5, f"{what}: p99 ms") for what in ("get", "list 20")),
    Figure("push", ("push", "10000", "first_byte_p99_ms"), "<=", 10, "10,000 mappings: first byte p99 ms"),
    Figure("push", ("push", "100000", "first_byte_p99_ms"), "<=", 20, "100,000 mappings: first byte p99 ms"),
    Figure("relays", ("relays", "max_ms"), "<=", 1000, "1,000 relays have it: ms"),
    Figure("relays", ("relays", "controld_cpu_s"), "<=", 0.5, "1,000 relays have it: CPU s"),
]

WHY = {  # what stands in the way, by metric, for those that a run misses
    **{name: "a splice moves a full pipe already, and two runs of one build differ by up to 7 % (README)" for name in ("bulk8", "up8")},
    "crr": "98 % of it is the kernel's, and the calls are as few as a relay that copies can make (README)",
    "rr1": "four calls an exchange and two wake-ups across cores, as for who copies; below is only who does not sleep (rr1_busy)",
    "rr64": "two reads and two writes an exchange, 98 % of it the kernel's: the limit of a relay that copies (README)",
    "dns": "datagrams of one query each from many clients make no trains; a receive and a send each are left",
    "udp64": "nine tenths of it are the kernel's (README)",
    "udplat": "nearly all of it is sleep and waking up, as for all; below is only who does not sleep (udplat_busy)",
    "http": "two reads and two writes a request, as for haproxy; own instructions are 10,700 (README)",
    "tunnel_rr1": "the sleep and waking up of one process more than without a tunnel, and a record sealed and opened each way",
    "https1m": "encryption, by the same OpenSSL for all, is most of it",
    "tunnel_bulk1": "encryption and decryption on both ends",
    "tunnel_bulk8": "encryption and decryption on both ends",
    "api": "SQLite's and the kernel's shares (README)",
    **{f"idle{n}": "all of OpenSSL counts to the relay itself; less than a third is private" for n in (1000, 5000, 9000)},
}


def dig(tree, path):
    """A figure by its path; of a list of runs the median one's."""
    for i, word in enumerate(path):
        if isinstance(tree, list):
            values = sorted(found for row in tree if (found := dig(row, path[i:])) is not None)
            return values[len(values) // 2] if values else None
        if not isinstance(tree, dict) or word not in tree:
            return None
        tree = tree[word]
    return tree


def best(metric, key, sign, peers):
    """The peer to be set beside: the one with the best median."""
    there = [(median, peer) for peer in peers if (median := metric.median(peer, key))]
    return (min if sign == "<=" else max)(there)[1] if there else None


def measured(goal, metrics, control):
    """(value, least, most, peer) or None."""
    if isinstance(goal, Figure):
        value = dig(control, goal.path)
        return None if value is None else (value, value, value, None)
    metric = metrics.get(goal.metric)
    if metric is None:
        return None
    if goal.peers:
        peer = best(metric, goal.key, goal.sign, goal.peers)
        ratio = metric.ratio(goal.key, peer) if peer else None
        return (*ratio, peer) if ratio else None
    if goal.sign == "within":  # of every subject and round the one that is furthest off
        values = [row[goal.key] for rows in metric.runs.values() for row in rows if goal.key in row]
        return (max(values, key=abs), min(values), max(values), None) if values else None
    values = [row[goal.key] for row in metric.runs.get(metric.ours, []) if goal.key in row]
    if not values:
        return None
    value = max(values) if goal.key == "lost" else metric.median(metric.ours, goal.key)  # what one round lost is lost
    return value, min(values), max(values), None


def off(sign, limit, value):
    """By how much of the limit it is missed; None when it is reached."""
    if sign == "within":
        return None if abs(value) <= limit else abs(value) / limit - 1
    if (value <= limit) if sign == "<=" else (value >= limit):
        return None
    return abs(value - limit) / limit if limit else float("inf")


def wanted(goal, peer):
    limit = f"{goal.sign} {goal.limit:g}"
    if isinstance(goal, Figure) or not goal.peers:
        return limit
    name = peer or " or ".join(goal.peers)
    return f"{limit} x {'the best, ' if goal.peers == BEST else ''}{name}"


def row_of(goal, metrics, control):
    """One line of the table; None when this run has not measured it."""
    found = measured(goal, metrics, control)
    if found is None:
        return None
    value, least, most, peer = found
    by = off(goal.sign, goal.limit, value)
    about = " (" + goal.says + ")" if goal.says and not isinstance(goal, Figure) else ""
    row = {"metric": goal.metric, "what": goal.says if isinstance(goal, Figure) else goal.key, "goal": wanted(goal, peer) + about,
           "value": value, "least": least, "most": most, "reached": by is None}
    if by is None:
        row["verdict"] = "reached"
    else:
        near = goal.limit and least <= goal.limit <= most and least != most and goal.sign != "within"
        row["verdict"] = f"missed by {by:.0%}" if by != float("inf") else f"missed by {value:.4g}"
        row["verdict"] += ", within the spread" if near else ""
    return row


def table(metrics, control):
    """Metrics by name, and the control plane's results: a row for each goal that was measured."""
    return [row for goal in GOALS if (row := row_of(goal, metrics, control))]


def of_metric(metric):
    return [row for goal in GOALS if goal.metric == metric.name and isinstance(goal, Goal) and (row := row_of(goal, {metric.name: metric}, {}))]


def figure(row):
    spread = f" [{row['least']:.2f}..{row['most']:.2f}]" if row["least"] != row["most"] else ""
    return f"{row['value']:.2f}{spread}"


def lines(rows):
    if not rows:
        return []
    reached = sum(row["reached"] for row in rows)
    return [f"## goals: {reached} of {len(rows)} reached",
            *(f"   {row['metric']:13s} {row['what']:42s} {row['goal']:58s} {figure(row):24s} {row['verdict']}" for row in rows)]


def markdown(rows):
    out = ["| metric | what | goal | measured | |", "|---|---|---|---|---|"]
    for row in rows:
        why = "" if row["reached"] or row["metric"] not in WHY else ": " + WHY[row["metric"]]
        out.append(f"| `{row['metric']}` | {row['what']} | {row['goal']} | {figure(row)} | {row['verdict']}{why} |")
    return out
