#include "relayd/pages.h"

#include "common/base/buf.h"
#include "common/base/clock.h"
#include "common/base/jsonw.h"
#include "common/base/str.h"
#include "relayd/meter/meter.h"

#include <inttypes.h>
#include <string.h>

/* ---- metrics ----------------------------------------------------------------------------------------------------- */

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP relayd_%s %s\n# TYPE relayd_%s %s\n", name, help, name, type);
}

/* name, then the value in quotes, escaped as the exposition format asks for. */
static void label(struct buf *out, const char *name, const char *value)
{
	buf_printf(out, "%s\"", name);
	for (; *value != '\0'; value++) {
		if (*value == '\\' || *value == '"' || *value == '\n')
			buf_u8(out, '\\');
		buf_u8(out, (uint8_t)(*value == '\n' ? 'n' : *value));
	}
	buf_u8(out, '"');
}

static void gauge(struct buf *out, const char *name, const char *help, double value)
{
	head(out, name, "gauge", help);
	buf_printf(out, "relayd_%s %.17g\n", name, value);
}

static void counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	head(out, name, "counter", help);
	buf_printf(out, "relayd_%s %" PRIu64 "\n", name, value);
}

static const struct {
	const char *name, *what;
} counters[] = {
#define X(name, what) { #name, what },
	METER_COUNTERS(X)
#undef X
};

/* One counter of all mappings: its series up to the limit, and the sum over all. */
struct column {
	struct buf *out;
	size_t counter;
	uint64_t left, sum;
};

static void on_row(const struct meter_row *row, void *arg)
{
	struct column *c = arg;

	c->sum += row->value[c->counter];
	if (c->left == 0)
		return;
	c->left--;
	buf_printf(c->out, "relayd_mapping_%s_total", counters[c->counter].name);
	label(c->out, "{mapping=", row->object);
	buf_printf(c->out, ",slot=\"%" PRIu64 "\"} %" PRIu64 "\n", row->slot, row->value[c->counter]);
}

static void mapping_counters(const struct pages_view *v, struct buf *out)
{
	char name[64];

	for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
		struct column c = { .out = out, .counter = i, .left = v->series_max };

		c.sum = meter_retired(v->meter, (enum meter_counter)i);
		str_fmt(name, sizeof name, "mapping_%s_total", counters[i].name);
		head(out, name, "counter", counters[i].what);
		meter_each(v->meter, on_row, &c);
		str_fmt(name, sizeof name, "%s_total", counters[i].name);
		counter(out, name, counters[i].what, c.sum);
	}
}

static void agents_metrics(const struct agent_counts *c, struct buf *out)
{
	gauge(out, "agent_links", "Connections with agents now, in any state.", (double)c->links);
	counter(out, "agent_accepted_total", "Connections to the agents' address.", c->accepted);
	counter(out, "agent_evicted_total", "Of these, that said nothing and gave way or took too long.", c->evicted);
	counter(out, "agent_junk_total", "Of these, that did not begin as a link does.", c->junk);
	counter(out, "agent_gave_up_total", "Of these, that ended before their turn had come.", c->gave_up);
	counter(out, "agent_crowded_total", "Of these, from an address that had its share of places.", c->crowded);
	counter(out, "agent_delayed_total", "Of these, that waited for the rate of handshakes.", c->delayed);
	counter(out, "agent_failed_total", "Whose TLS or greeting failed.", c->failed);
	counter(out, "agent_refused_total", "Whose greeting was refused.", c->refused);
	counter(out, "agent_over_total", "Of these, as their client had agents.links_per_client of them.", c->over);
	counter(out, "agent_greeted_total", "Links with agents that came up.", c->greeted);
	counter(out, "agent_taken_over_total", "Agents whose place a later start of the same instance took.",
		c->taken_over);
	counter(out, "agent_streams_total", "Connections passed to agents.", c->streams);
	counter(out, "agent_streams_alone_total", "Of these, on a link of their own.", c->alone);
	counter(out, "agent_streams_not_alone_total", "That would have had one, and none was ready.", c->not_alone);
	counter(out, "agent_missing_total", "Connections for which no agent was here.", c->no_link);
	counter(out, "agent_streams_failed_total", "Streams whose agent did not reach the target.", c->failed_streams);
	counter(out, "agent_visits_total", "Streams that agents opened, of mappings from their own machine.",
		c->visits);
	counter(out, "agent_visits_refused_total", "The same, of mappings that are not theirs or not here.",
		c->not_theirs);
	gauge(out, "agent_windows_lent_bytes", "What windows of agents' streams have grown by, now.", (double)c->lent);
	counter(out, "agent_windows_short_total", "Times that one could not grow as it should, for lack of that.",
		c->short_of);
	counter(out, "agent_windows_narrowed_total", "Times that an idle one gave back what it had grown by.",
		c->narrowed);
	counter(out, "agent_untold_total",
		"Links that came or went and are not in the log, as there were too many at once.", c->untold);
}

static void access_log_metrics(const struct access_log_counts *c, struct buf *out)
{
	counter(out, "access_log_lines_total", "Lines of requests that were left to be written.", c->lines);
	counter(out, "access_log_dropped_total", "Lines for which there was no room.", c->dropped);
	counter(out, "access_log_failed_bytes_total", "What the file did not take.", c->failed);
}

static const struct {
	const char *name, *what;
} front_counters[] = {
#define X(name, what) { #name, what },
	FRONT_COUNTERS(X)
#undef X
};

static const struct {
	const char *name, *what;
} http_counters[] = {
#define X(name, what) { #name, what },
	HTTP_COUNTERS(X)
#undef X
};

static void http_metrics(const struct pages_view *v, struct buf *out)
{
	if (!v->fronts[FRONT_HTTP].open && !v->fronts[FRONT_TLS].open)
		return;
	gauge(out, "http_connections_now", "Connections of clients to hosts that routes claim.",
		(double)v->http.connections_now);
	gauge(out, "http_requests_now", "Requests under way.", (double)v->http.requests_now);
	gauge(out, "http_mirrors_now", "Copies of requests under way to mirror pools.", (double)v->http.mirrors_now);
	gauge(out, "http_backends_now", "Connections to backends, in use or waiting.", (double)v->http.backends_now);
	for (size_t c = 0; c < HTTP_COUNTERS_N; c++) {
		char name[64], what[128];

		str_fmt(name, sizeof name, "http_%s_total", http_counters[c].name);
		str_fmt(what, sizeof what, "HTTP routes: %s.", http_counters[c].what);
		counter(out, name, what, v->http.value[c]);
	}
	head(out, "http_unserved_total", "counter",
		"HTTP routes: requests without a whole answer of a backend, by reason, as in the access log.");
	for (size_t t = HTTP_TROUBLE_none + 1; t < HTTP_TROUBLES_N; t++)
		buf_printf(out, "relayd_http_unserved_total{reason=\"%s\"} %" PRIu64 "\n",
			trouble_of((enum http_trouble)t)->word, v->http.troubles[t]);
}

/* One series for each shared port that there is. */
static void fronts_metrics(const struct pages_view *v, struct buf *out)
{
	if (!v->fronts[FRONT_HTTP].open && !v->fronts[FRONT_TLS].open)
		return;
	head(out, "hosts_waiting", "gauge", "Connections to a shared port that have not said which host they are for.");
	for (size_t i = 0; i < FRONTS_N; i++)
		if (v->fronts[i].open)
			buf_printf(out, "relayd_hosts_waiting{port=\"%s\"} %" PRIu64 "\n", v->fronts[i].name,
				v->fronts[i].counts.waiting);
	for (size_t c = 0; c < FRONT_COUNTERS_N; c++) {
		char name[64];

		str_fmt(name, sizeof name, "hosts_%s_total", front_counters[c].name);
		head(out, name, "counter", front_counters[c].what);
		for (size_t i = 0; i < FRONTS_N; i++)
			if (v->fronts[i].open)
				buf_printf(out, "relayd_%s{port=\"%s\"} %" PRIu64 "\n", name, v->fronts[i].name,
					v->fronts[i].counts.value[c]);
	}
}

void pages_metrics(const struct pages_view *v, struct buf *out)
{
	head(out, "info", "gauge", "Version and node of this relay; always 1.");
	label(out, "relayd_info{version=", v->load.version);
	label(out, ",node=", v->uplink.node_id);
	buf_printf(out, "} 1\n");
	gauge(out, "uptime_seconds", "Since this process started.", (double)v->load.uptime_s);
	gauge(out, "workers", "Forwarding threads.", v->load.workers);
	gauge(out, "connections", "TCP connections and UDP sessions now.", (double)v->services.connections);
	gauge(out, "listening_sockets", "Tunnel port sockets open now.", (double)v->services.ports);
	gauge(out, "objects", "Mappings and clients in the configuration.", (double)v->objects);
	gauge(out, "objects_refused", "Mappings that cannot work now.", (double)v->refusals);
	gauge(out, "revision", "Sequence of the configuration in force.", (double)v->revision.seq);
	gauge(out, "link_up", "1 when controld can be reached.", v->uplink.connected);
	counter(out, "link_restarts_total", "Times the link process was started again.", v->uplink.restarts);
	gauge(out, "certificate_end_timestamp_seconds", "When this relay's certificate ends.",
		(double)v->uplink.certificate_ends_ms / 1000);
	gauge(out, "snapshot_saved", "1 when the last good configuration is on disk.", !v->snapshot_not_saved);
	gauge(out, "descriptors", "File descriptors in use for ports and connections.", v->load.fds);
	gauge(out, "descriptors_max", "File descriptors this process may have.", v->load.fds_max);
	gauge(out, "loop_lag_seconds", "Longest round of any worker since the last look.", v->load.loop_lag_us / 1e6);
	head(out, "busy_polls_total", "counter",
		"Busy waits (busy_poll): events came, or the worker went to sleep after all.");
	buf_printf(out, "relayd_busy_polls_total{result=\"found\"} %" PRIu64 "\n", v->looks.found);
	buf_printf(out, "relayd_busy_polls_total{result=\"vain\"} %" PRIu64 "\n", v->looks.vain);
	gauge(out, "resident_memory_bytes", "Resident memory.", (double)v->load.rss_bytes);
	head(out, "cpu_seconds_total", "counter", "CPU time of the whole process.");
	buf_printf(out, "relayd_cpu_seconds_total %.6f\n", (double)v->cpu_ns / 1e9);
	if (v->takes_agents)
		agents_metrics(&v->agents, out);
	access_log_metrics(&v->access_log, out);
	fronts_metrics(v, out);
	http_metrics(v, out);
	mapping_counters(v, out);
}

/* ---- health ------------------------------------------------------------------------------------------------------ */

struct check {
	const char *name;
	bool up;
	bool vital; /* without it nothing is served */
	const char *trouble;
};

#define CHECKS_N 4

static void view_checks(const struct pages_view *v, struct check checks[CHECKS_N])
{
	checks[0] = (struct check){ "configuration", v->has_snapshot, true, "no configuration yet" };
	checks[1] = (struct check){ "membership", v->uplink.member, false, v->uplink.trouble };
	checks[2] = (struct check){ "controld", v->uplink.connected, false, "controld cannot be reached" };
	checks[3] = (struct check){ "disk", !v->snapshot_not_saved, false, "the configuration could not be saved" };
}

unsigned pages_health(const struct pages_view *v, struct buf *out)
{
	struct check checks[CHECKS_N];
	const char *status = "healthy";
	char uptime[64];

	view_checks(v, checks);
	for (size_t i = 0; i < CHECKS_N; i++)
		if (!checks[i].up && (checks[i].vital || strcmp(status, "healthy") == 0))
			status = checks[i].vital ? "unhealthy" : "degraded";
	clock_uptime(uptime, sizeof uptime, v->load.uptime_s);
	jsonw_object(out, NULL);
	jsonw_str(out, "status", status);
	jsonw_time(out, "timestamp", clock_wall_ms());
	jsonw_str(out, "version", v->load.version);
	jsonw_str(out, "uptime", uptime);
	jsonw_array(out, "checks");
	for (size_t i = 0; i < CHECKS_N; i++) {
		jsonw_object(out, NULL);
		jsonw_str(out, "name", checks[i].name);
		jsonw_str(out, "status", checks[i].up ? "UP" : "DOWN");
		jsonw_str(out, "details", checks[i].up ? "" : checks[i].trouble);
		jsonw_end_object(out);
	}
	jsonw_end_array(out);
	jsonw_end_object(out);
	buf_put(out, "\n", 1);
	return strcmp(status, "unhealthy") == 0 ? 503 : 200;
}

unsigned pages_ready(const struct pages_view *v, struct buf *out)
{
	bool ready = v->has_snapshot && !v->draining;

	jsonw_object(out, NULL);
	jsonw_bool(out, "ready", ready);
	jsonw_str(out, "reason", ready ? "" : v->draining ? "stopping" : "no configuration yet");
	jsonw_end_object(out);
	buf_put(out, "\n", 1);
	return ready ? 200 : 503;
}
