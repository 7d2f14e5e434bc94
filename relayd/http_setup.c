#include "relayd/http_setup.h"

#include "common/base/str.h"
#include "relayd/settings.h"

#include <stdlib.h>
#include <string.h>

#define DRAIN_MS 2000 /* as a client that is told why it is not served has (relayd/vhost/arrival.c) */

int http_setup_ranges(struct mapping_cidrs *out, const char *list)
{
	char one[CIDR_STRLEN];

	*out = (struct mapping_cidrs){ .items = NULL };
	if (list[0] == '\0')
		return 0;
	out->items = calloc(MAPPING_CIDRS_MAX, sizeof *out->items);
	for (; out->items != NULL; list++) {
		const size_t n = strcspn(list, ",");

		if (out->n == MAPPING_CIDRS_MAX || str_fmt(one, sizeof one, "%.*s", (int)n, list) != 0 ||
			cidr_parse(&out->items[out->n], one) != 0)
			break;
		out->n++;
		list += n;
		if (*list == '\0')
			return 0;
	}
	mapping_cidrs_fini(out);
	return -1;
}

int http_setup_init(struct http_conf *c, const struct settings *s)
{
	*c = (struct http_conf){
		.limits = http_limits_default,
		.max_body = s->http_body_max,
		.head_timeout_ms = (uint32_t)s->http_head_timeout_ms,
		.body_timeout_ms = (uint32_t)s->http_body_timeout_ms,
		.idle_timeout_ms = (uint32_t)s->http_idle_timeout_ms,
		.response_timeout_ms = (uint32_t)s->http_response_timeout_ms,
		.tunnel_timeout_ms = (uint32_t)s->http_tunnel_timeout_ms,
		.backend_idle_ms = (uint32_t)s->backends_idle_ms,
		.backend_idle_max = (uint32_t)s->backends_idle_max,
		.drain_ms = DRAIN_MS,
		.mirror_body_max = s->http_mirror_body_max,
		.mirror_max = (uint32_t)s->http_mirror_max,
		.region = s->region,
	};
	c->limits.head = (uint16_t)s->http_head_max;
	c->limits.line = MIN(c->limits.line, c->limits.head);
	c->limits.field = MIN(c->limits.field, c->limits.head);
	c->limits.fields = (uint16_t)s->http_fields_max;
	return http_setup_ranges(&c->trusted, s->http_trusted_proxies);
}

void http_setup_fini(struct http_conf *c)
{
	mapping_cidrs_fini(&c->trusted);
}
