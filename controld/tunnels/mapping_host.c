#include "controld/tunnels/mapping_host.h"

#include "common/base/jsonw.h"
#include "common/base/rand.h"
#include "common/base/str.h"
#include "controld/clients/anonymous.h"
#include "controld/tunnels/api.h"
#include "controld/tunnels/host_name_claim.h"

#include <stdlib.h>
#include <string.h>

#define TRIES        8
#define SECRET_CHARS 16 /* of 32 kinds: nobody guesses 80 bits */
#define WORD_CHARS   4

/* ---- what may be written ------------------------------------------------------------------------------------------ */

static void refuse(const char *value, const char *rule, const char *why, struct err_list *errs)
{
	err_list_add(errs, ERR_VALIDATION, "host_names", rule, value, "host_names: '%s' %s", value, why);
}

static bool holds(const struct mapping_hosts *h, uint32_t n, const char *name)
{
	for (uint32_t i = 0; i < n; i++)
		if (strcmp(h->items[i], name) == 0)
			return true;
	return false;
}

static void take_list(struct mapping_hosts *h, const json_t *list, struct err_list *errs)
{
	const uint32_t n = (uint32_t)MIN(json_array_size(list), (size_t)MAPPING_HOSTS_MAX);

	free(h->items);
	*h = (struct mapping_hosts){ .n = 0 };
	if (n == 0)
		return;
	h->items = calloc(n, sizeof *h->items);
	if (h->items == NULL) {
		err_list_add(errs, ERR_NOMEM, "host_names", "", "", "out of memory");
		return;
	}
	for (h->n = 0; h->n < n; h->n++) {
		const char *text = json_string_value(json_array_get(list, h->n));

		if (text == NULL || host_pattern_take(h->items[h->n], text, strlen(text)) != 0)
			refuse(text != NULL ? text : "", "format",
				"is no host name, nor '*.' and one; letters outside of ASCII are written as A-labels "
				"(xn--...)",
				errs);
		else if (holds(h, h->n, h->items[h->n]))
			refuse(text, "unique", "is there twice", errs);
	}
}

void mapping_host_take(struct mapping_conf *c, const json_t *body, struct err_list *errs)
{
	const json_t *v = json_object_get(body, "host_names");

	if (mapping_conf_has_hosts(c)) {
		if (v != NULL)
			take_list(&c->hosts, v, errs);
		if (c->port_first != 0 || c->port_last != 0)
			err_list_add(errs, ERR_VALIDATION, "source_port", "combination", NULL,
				"source_port: mappings with host names share a port of the relay (its setting "
				"http.listen or tls.listen)");
		if (c->source_client[0] != '\0')
			err_list_add(errs, ERR_VALIDATION, "source_client_id", "combination", c->source_client,
				"source_client_id: mappings with host names are on relays");
		if (c->bind[0] != '\0')
			err_list_add(errs, ERR_VALIDATION, "bind_address", "combination", c->bind,
				"bind_address: mappings with host names share the addresses of the relay's http.listen "
				"or tls.listen");
		return;
	}
	if (json_array_size(v) > 0)
		err_list_add(errs, ERR_VALIDATION, "host_names", "combination", NULL,
			"host_names: are for the protocols http and tls; others have a source_port");
}

/* ---- rows and objects --------------------------------------------------------------------------------------------- */

void mapping_host_store(const struct mapping_hosts *h, char dst[MAPPING_HOSTS_TEXT])
{
	size_t at = 0;

	dst[0] = '\0';
	for (uint32_t i = 0; i < h->n; i++) {
		str_fmt(dst + at, MAPPING_HOSTS_TEXT - at, "%s%s", i > 0 ? "," : "", h->items[i]);
		at += strlen(dst + at);
	}
}

int mapping_host_load(struct mapping_hosts *h, const char *text, struct err *e)
{
	uint32_t n = 1;

	*h = (struct mapping_hosts){ .n = 0 };
	if (text == NULL || text[0] == '\0')
		return 0;
	for (const char *p = text; (p = strchr(p, ',')) != NULL; p++)
		n++;
	h->items = calloc(n, sizeof *h->items);
	if (h->items == NULL)
		return err_set(e, ERR_NOMEM, NULL, "host names of a mapping: out of memory");
	for (h->n = 0; h->n < n; h->n++) {
		size_t len = strcspn(text, ",");

		str_fmt(h->items[h->n], HOST_NAME_SIZE, "%.*s", (int)len, text);
		text += len + 1;
	}
	return 0;
}

void mapping_host_print(const struct mapping_hosts *h, struct buf *b)
{
	jsonw_array(b, "host_names");
	for (uint32_t i = 0; i < h->n; i++)
		jsonw_str(b, NULL, h->items[i]);
	jsonw_end_array(b);
}

/* ---- who may have which ------------------------------------------------------------------------------------------- */

/* Those that it has already stay whoever changes something else. */
static int check_rights(struct tunnels *t, const struct identity *who, const struct mapping *m,
	const struct mapping *before, const char *domain, struct err *e)
{
	const struct mapping_hosts *h = &m->conf.hosts;

	for (uint32_t i = 0; i < h->n; i++) {
		if (before != NULL && str_eq(before->group_id, m->group_id) &&
			holds(&before->conf.hosts, before->conf.hosts.n, h->items[i]))
			continue;
		if (host_name_right(
			    (enum host_names_by)t->conf.host_names_by, who, domain, "host_names", h->items[i], e) != 0)
			return -1;
	}
	return 0;
}

/* ---- a name that nobody chose ------------------------------------------------------------------------------------- */

static const char *const words[] = { "amber", "apple", "arrow", "autumn", "birch", "blue", "bright", "calm", "cedar",
	"clear", "cloud", "coral", "crisp", "dawn", "deep", "delta", "early", "ember", "fern", "field", "fresh",
	"frost", "garden", "gentle", "glade", "gold", "grain", "green", "harbor", "hazel", "hill", "indigo", "island",
	"ivory", "jade", "lake", "leaf", "light", "lunar", "maple", "meadow", "mint", "misty", "moss", "north", "ocean",
	"olive", "opal", "pearl", "pine", "quiet", "rain", "river", "sand", "silver", "sky", "snow", "south", "spring",
	"star", "stone", "summer", "swift", "wave" };
_Static_assert(ARRAY_LEN(words) == 64, "six bits a word");

static void random_chars(char *dst, size_t n)
{
	static const char kinds[] = "abcdefghijkmnpqrstuvwxyz23456789"; /* none that is taken for another */

	for (size_t i = 0; i < n; i++)
		dst[i] = kinds[rand_below(sizeof kinds - 1)];
	dst[n] = '\0';
}

static int make_up(char dst[HOST_NAME_SIZE], const char *domain, bool secret)
{
	char tail[SECRET_CHARS + 1];

	random_chars(tail, secret ? SECRET_CHARS : WORD_CHARS);
	if (secret)
		return str_fmt(dst, HOST_NAME_SIZE, "%s.%s", tail, domain);
	return str_fmt(dst, HOST_NAME_SIZE, "%s-%s-%s.%s", words[rand_below(ARRAY_LEN(words))],
		words[rand_below(ARRAY_LEN(words))], tail, domain);
}

static int claim_made_up(struct db *tx, const struct host_place *at, struct mapping *m, struct err *e)
{
	struct mapping_hosts *h = &m->conf.hosts;
	const bool secret = str_eq(m->tenant_id, ANONYMOUS_TENANT);
	int rc = -1;

	if (at->domain[0] == '\0') {
		err_set(e, ERR_VALIDATION, "host_names",
			"host_names: one is needed, as group '%s' has no domain to make up a name in", m->group_name);
		return err_detail(e, "required", "");
	}
	h->items = calloc(1, sizeof *h->items);
	if (h->items == NULL)
		return err_set(e, ERR_NOMEM, NULL, "mapping %s: out of memory", m->id);
	h->n = 1;
	for (int i = 0; i < TRIES && rc != 0; i++) {
		if (make_up(h->items[0], at->domain, secret) != 0)
			return err_set(e, ERR_VALIDATION, "host_names",
				"host_names: the domain of group '%s' leaves no room for a name", m->group_name);
		rc = host_name_claim(tx, at, m->id, h->items[0], e);
		if (rc != 0 && e != NULL && e->code != ERR_HOST_TAKEN)
			return -1;
	}
	return rc;
}

int mapping_host_claim(struct db *tx, struct tunnels *t, const struct identity *who, struct mapping *m,
	const struct mapping *before, struct err *e)
{
	const struct mapping_hosts *h = &m->conf.hosts;
	char domain[HOST_NAME_SIZE];
	const struct host_place at = { m->tenant_id, m->group_id, mapping_protocol_name(&m->conf), domain };

	if (t->relays.ops->domain(t->relays.self, tx, m->group_id, domain, e) != 0)
		return -1;
	if (check_rights(t, who, m, before, domain, e) != 0)
		return -1;
	if (before != NULL && host_name_release(tx, m->id, e) != 0)
		return -1;
	if (h->n == 0)
		return claim_made_up(tx, &at, m, e);
	for (uint32_t i = 0; i < h->n; i++)
		if (host_name_claim(tx, &at, m->id, h->items[i], e) != 0)
			return -1;
	return 0;
}

/* ---- where it is reached ------------------------------------------------------------------------------------------ */

void mapping_host_url(struct tunnels *t, const struct mapping *m, char dst[MAPPING_URL_SIZE])
{
	const struct mapping_hosts *h = &m->conf.hosts;
	const bool http = m->conf.protocol == MAPPING_HTTP;
	const struct relays *r = &t->relays;
	uint16_t port = 0;

	dst[0] = '\0';
	if (h->n == 0 || host_pattern_is_wild(h->items[0]) || r->ops->shared_port == NULL)
		return;
	port = r->ops->shared_port(r->self, m->group_id, m->node_id, http ? MAPPING_HTTP : MAPPING_TLS);
	if (port == (http ? 80 : 443))
		str_fmt(dst, MAPPING_URL_SIZE, "%s://%s", http ? "http" : "https", h->items[0]);
	else if (port != 0)
		str_fmt(dst, MAPPING_URL_SIZE, "%s://%s:%u", http ? "http" : "https", h->items[0], port);
}
