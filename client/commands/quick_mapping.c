#include "client/commands/quick_mapping.h"

#include "client/commands/quick.h"
#include "client/commands/quick_account.h"
#include "client/out/text.h"
#include "common/base/err.h"
#include "common/base/str.h"

int quick_mapping_delete(struct quick *q, const char *id)
{
	const char *list = q->anonymous ? "/api/v1/self/mappings" : "/api/v1/mappings";

	return quick_account_call(q, "DELETE", NULL, NULL, "%s/%s", list, id) == 0 || q->f.exit == EXIT_NOT_FOUND ? 0
	                                                                                                          : -1;
}

static int create(struct quick *q, struct quick_place at, json_t **made)
{
	json_t *body =
		json_pack("{s:s, s:s*}", "protocol", q->protocol, "name", options_text(&q->in->options, "name", NULL));
	int r = q->kind->describe(q, body, &at);

	if (r == 0)
		r = quick_account_call(
			q, "POST", body, made, q->anonymous ? "/api/v1/self/mappings" : "/api/v1/mappings");
	json_decref(body);
	return r;
}

static bool is_refused(const json_t *mapping)
{
	const char *status = json_string_value(json_object_get(mapping, "status"));

	return status != NULL && str_eq(status, "error");
}

/* NULL: the month's quota has something left. */
static const char *over_quota(const json_t *mapping)
{
	const json_t *why = json_object_get(json_object_get(mapping, "error"), "quota");

	return is_refused(mapping) ? json_string_value(json_object_get(why, "message")) : NULL;
}

static int create_again(struct quick *q, json_t **made)
{
	const struct quick_place any = { 0, "" }, before = { q->client.port, q->client.host };
	const char *id;
	int r;

	if (create(q, before, made) != 0)
		return q->f.exit == EXIT_CONFLICT ? create(q, any, made) : -1;
	if (!is_refused(*made) || over_quota(*made) != NULL)
		return 0;
	id = json_string_value(json_object_get(*made, "id"));
	r = quick_mapping_delete(q, id != NULL ? id : "");
	json_decref(*made);
	*made = NULL;
	return r == 0 ? create(q, any, made) : -1;
}

/* What the first of the relays says: {"edge-1": {"code": ..., "message": ...}} */
static int check_status(struct quick *q, const json_t *mapping)
{
	void *first = json_object_iter(json_object_get(mapping, "error"));
	const char *message = json_string_value(json_object_get(json_object_iter_value(first), "message"));
	char what[sizeof q->host_name + 32];

	if (!is_refused(mapping))
		return 0;
	if (over_quota(mapping) != NULL)
		return failure_set(&q->f, EXIT_LIMIT, "%s", over_quota(mapping));
	if (quick_is_by_host(q))
		(void)str_fmt(what, sizeof what, "the host name %s cannot be served", q->host_name);
	else
		(void)str_fmt(what, sizeof what, "the tunnel port %u cannot be opened", q->source_port);
	if (message == NULL)
		return failure_set(&q->f, EXIT_BAD_NEWS, "%s, and no relay says why", what);
	return failure_set(&q->f, EXIT_BAD_NEWS, "%s: %s on node %s", what, message, json_object_iter_key(first));
}

static void take_text(char *dst, size_t size, const json_t *value)
{
	const char *s = json_string_value(value);

	(void)str_copy(dst, size, s != NULL ? s : "");
}

static void take_made(struct quick *q, const json_t *made)
{
	take_text(q->mapping, sizeof q->mapping, json_object_get(made, "id"));
	take_text(q->expires_at, sizeof q->expires_at, json_object_get(made, "expires_at"));
	take_text(q->host_name, sizeof q->host_name, json_array_get(json_object_get(made, "host_names"), 0));
	take_text(q->reached_at, sizeof q->reached_at, json_object_get(made, "url"));
	q->source_port = (uint16_t)json_integer_value(json_object_get(made, "source_port"));
}

/* Where it was reachable the last time, if that is still free and nothing else is asked for. */
int quick_mapping_make(struct quick *q)
{
	const struct quick_place asked = { (uint16_t)options_number(&q->in->options, "port", 0),
		options_text(&q->in->options, "host", "") };
	json_t *made = NULL;
	int r;

	if (asked.port == 0 && asked.host[0] == '\0' && !q->anonymous && str_eq(q->purpose, q->client.target) &&
		(q->client.port != 0 || q->client.host[0] != '\0'))
		r = create_again(q, &made);
	else
		r = create(q, asked, &made);
	if (r != 0)
		return -1;
	take_made(q, made);
	(void)str_copy(
		q->client.mapping, sizeof q->client.mapping, options_has(&q->in->options, "keep") ? "" : q->mapping);
	(void)str_copy(q->client.target, sizeof q->client.target, q->purpose);
	(void)str_copy(q->client.host, sizeof q->client.host, q->host_name);
	q->client.port = q->source_port;
	r = check_status(q, made);
	json_decref(made);
	return r == 0 ? quick_account_save(q) : -1;
}

void quick_mapping_end(struct quick *q)
{
	struct err e;

	if (q->mapping[0] == '\0' || options_has(&q->in->options, "keep"))
		return;
	if ((q->anonymous && quick_account_log_in(q) != 0) || quick_mapping_delete(q, q->mapping) != 0) {
		(void)invocation_fail(q->in, &q->f);
		text_printf(stderr, "%s: the mapping %s is still there; the next such command removes it", q->in->who,
			q->mapping);
		(void)fputc('\n', stderr);
		return;
	}
	q->client.mapping[0] = '\0';
	(void)!quick_client_save(&q->client, &e);
}
