/* The part that knows of the other controlds: what they commit, what they say, whether they live. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/app_parts.h"
#include "controld/cluster/cluster.h"
#include "controld/fleet/fleet.h"
#include "controld/identity/service.h"
#include "controld/store/store.h"
#include "controld/store/watch.h"

#include <string.h>

/* ---- hearing ----------------------------------------------------------------------------------------------------- */

static void on_message(void *owner, const char *from, const void *p, size_t n)
{
	fleet_peer_message(((struct app *)owner)->fleet, from, p, n);
}

static void on_gap(void *owner)
{
	fleet_peer_gap(((struct app *)owner)->fleet);
}

/* From where there is no database relays learn nothing new: the other controlds may still reach it. */
static void on_away(void *owner)
{
	fleet_send_away(((struct app *)owner)->fleet);
}

/* Who may do what has changed elsewhere: what is kept of it here is worth nothing. */
static void on_kinds(void *owner, const char *kinds)
{
	static const char *const ours[] = { "user", "tenant", "login", "api_key", "membership", "client" };
	struct app *a = owner;
	bool any = kinds == NULL;

	for (size_t i = 0; i < ARRAY_LEN(ours) && !any; i++)
		any = strstr(kinds, ours[i]) != NULL;
	if (any)
		identity_forget(a->identity);
}

static void on_lost(void *owner, const char *id)
{
	fleet_peer_lost(((struct app *)owner)->fleet, id);
}

static int64_t position(void *owner)
{
	struct fleet_stats s;

	fleet_stats(((struct app *)owner)->fleet, &s);
	return (int64_t)s.revision;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void api_address(const struct settings *s, char dst[300])
{
	if (*s->http.public_url != '\0')
		(void)str_copy(dst, 300, s->http.public_url);
	else
		(void)str_fmt(dst, 300, "%s://%s", *s->http.tls_cert != '\0' ? "https" : "http", s->http.listen);
}

int app_cluster_open(struct app *a, struct err *e)
{
	char address[300];
	struct cluster_conf conf = {
		.store = a->store,
		.self = a->self,
		.name = a->settings->cluster.name,
		.address = address,
		.line_address = a->settings->fleet.listen,
		.lost = on_lost,
		.position = position,
		.owner = a,
	};

	api_address(a->settings, address);
	if (watch_new(&a->watch, a->store, a->self, e) != 0)
		return -1;
	conf.shared = watch_shared(a->watch);
	return cluster_new(&a->cluster, &conf, e);
}

void app_cluster_close(struct app *a)
{
	cluster_free(a->cluster);
	watch_free(a->watch);
}

/* When everything serves: from here on the others send their relays, their questions and what they know. */
int app_company_open(struct app *a, struct err *e)
{
	static const struct watch_ops ops = { on_message, on_gap, on_away, on_kinds };

	return watch_start(a->watch, &ops, a, e) != 0 ? -1 : cluster_start(a->cluster, e);
}

void app_company_close(struct app *a)
{
	fleet_leave(a->fleet);
	cluster_stop(a->cluster);
	watch_stop(a->watch);
}
