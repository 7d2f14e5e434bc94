/* What a certificate authority answers: as a directory, an order, an authorization, a problem, a Retry-After. What is accepted is used in
 * requests, paths and texts for people, so it is checked to be fit for that. */
#include "common/base/str.h"
#include "controld/acme/acme_reply.h"
#include "tests/fuzz/fuzz.h"

static void check_problem(const struct acme_problem *p)
{
	FUZZ_CHECK(str_is_utf8(p->detail, strlen(p->detail)));
	for (const char *c = p->detail; *c != '\0'; c++)
		FUZZ_CHECK((unsigned char)*c >= ' ' && *c != 0x7f);
	for (const char *c = p->type; *c != '\0'; c++)
		FUZZ_CHECK(*c > ' ' && *c <= '~');
}

static void check_challenge(const struct acme_challenge *ch)
{
	if (!ch->offered)
		return;
	FUZZ_CHECK(acme_reply_is_url(ch->url));
	FUZZ_CHECK(ch->token[0] != '\0' && strpbrk(ch->token, "/.%? \r\n") == NULL);
	check_problem(&ch->problem);
}

static void check_order(const struct acme_order *o)
{
	FUZZ_CHECK(o->status != ACME_UNKNOWN && o->n > 0 && o->n <= ACME_ORDER_NAMES);
	FUZZ_CHECK(acme_reply_is_url(o->finalize));
	FUZZ_CHECK(o->certificate[0] == '\0' || acme_reply_is_url(o->certificate));
	for (size_t i = 0; i < o->n; i++)
		FUZZ_CHECK(acme_reply_is_url(o->authorizations[i]));
	check_problem(&o->problem);
}

static void check_authorization(const struct acme_authorization *a)
{
	char again[HOST_NAME_SIZE];

	FUZZ_CHECK(host_name_take(again, a->host, strlen(a->host)) == 0 && str_eq(again, a->host));
	check_challenge(&a->http);
	check_challenge(&a->tls);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct acme_order order; /* large */
	struct acme_authorization authorization;
	struct acme_directory directory;
	struct acme_problem problem;
	char *s = fuzz_string(data, size);

	if (s == NULL)
		return 0;
	if (acme_reply_directory(&directory, s, size, NULL) == 0)
		FUZZ_CHECK(acme_reply_is_url(directory.new_nonce) && acme_reply_is_url(directory.new_account) &&
			   acme_reply_is_url(directory.new_order));
	if (acme_reply_order(&order, s, size, NULL) == 0)
		check_order(&order);
	if (acme_reply_authorization(&authorization, s, size, NULL) == 0)
		check_authorization(&authorization);
	acme_reply_problem(&problem, s, size);
	check_problem(&problem);
	FUZZ_CHECK(acme_reply_retry_after(s, 1000) <= 86400000);
	free(s);
	return 0;
}
