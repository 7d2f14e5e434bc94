#define _GNU_SOURCE
#include "relayd/stream/socks.h"

#include "common/base/str.h"
#include "common/crypto/socks_proof.h"
#include "common/net/addr.h"
#include "common/net/allow.h"
#include "common/uv/side.h"
#include "common/uv/worker.h"
#include "proto/mapping_conf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct socks *socks_new(void)
{
	return calloc(1, sizeof(struct socks));
}

void socks_free(struct socks *s)
{
	if (s == NULL)
		return;
	seal_wipe(s->bytes, sizeof s->bytes); /* a password was in it */
	free(s);
}

/* Up to n bytes: how many came, 0 for none now, -1 for the end. */
static ssize_t read_some(struct side *client, struct worker *w, uint8_t *dst, size_t n)
{
	const uint8_t *p;
	ssize_t r;

	if (client->ops != NULL) {
		r = (ssize_t)MIN(client->ops->peek(client, &p), n);
		if (r > 0) {
			memcpy(dst, p, (size_t)r);
			client->ops->take(client, (size_t)r);
			return r;
		}
	} else {
		r = recv(client->io.fd, dst, n, 0);
		if (r > 0)
			return r;
		if (r == 0 || errno != EAGAIN)
			return -1;
	}
	side_drained(client, w);
	return client->fin ? -1 : 0;
}

int socks_answer(struct socks *s, struct side *client, enum socks5_code code, const struct addr *bound)
{
	uint8_t reply[SOCKS5_REPLY_MAX];

	if (!s->asked || s->answered)
		return 0;
	s->answered = true;
	return side_send_first(client, reply, socks5_reply(reply, code, bound));
}

static enum socks_result on_greeting(struct socks *s, struct side *client, const struct mapping_conf *conf)
{
	bool login = conf->socks_user[0] != '\0';
	enum socks5_method want = login ? SOCKS5_PASSWORD : SOCKS5_NO_LOGIN;
	bool offered = socks5_offers(s->bytes, want);
	const uint8_t reply[] = { 5, (uint8_t)(offered ? want : SOCKS5_NO_METHOD) };

	s->step = login ? SOCKS5_LOGIN : SOCKS5_REQUEST;
	if (side_send_first(client, reply, sizeof reply) != 0)
		return SOCKS_ENDS;
	return offered ? SOCKS_WAITS : SOCKS_STRANGER;
}

static enum socks_result on_login(struct socks *s, struct side *client, const struct mapping_conf *conf)
{
	char user[256], password[256];
	bool good = socks5_login(s->bytes, user, password) == 0 && str_eq(user, conf->socks_user) &&
	            socks_proof_check(conf->socks_proof, conf->socks_salt, user, password);
	const uint8_t reply[] = { 1, good ? 0 : 1 };

	seal_wipe(password, sizeof password);
	s->step = SOCKS5_REQUEST;
	if (side_send_first(client, reply, sizeof reply) != 0)
		return SOCKS_ENDS;
	return good ? SOCKS_WAITS : SOCKS_STRANGER;
}

bool socks_may_go(const char *host, uint16_t port, const char *rules)
{
	struct allow *allow;
	struct addr a;
	bool may;

	if (rules[0] == '\0')
		return true;
	if (allow_parse(&allow, "socks_allow", rules, NULL) != 0)
		return false;
	may = addr_parse_ip(&a, host, port) != 0 || allow_has_addr(allow, &a);
	allow_unref(allow);
	return may;
}

static enum socks_result on_request(struct socks *s, struct side *client, const struct mapping_conf *conf)
{
	enum socks5_code code = SOCKS5_DONE;

	s->asked = true;
	if (socks5_request(&s->request, s->bytes) != 0)
		code = SOCKS5_NO_HOST;
	else if (s->request.command == SOCKS5_ASSOCIATE)
		return SOCKS_SENDS; /* where from it will send is seen then */
	else if (s->request.command != SOCKS5_CONNECT)
		code = SOCKS5_NO_COMMAND;
	else if (s->request.port == 0)
		code = SOCKS5_NO_HOST;
	else if (!socks_may_go(s->request.host, s->request.port, conf->socks_allow))
		code = SOCKS5_NOT_ALLOWED;
	if (code == SOCKS5_DONE)
		return SOCKS_ASKS;
	if (socks_answer(s, client, code, NULL) != 0)
		return SOCKS_ENDS;
	return code == SOCKS5_NOT_ALLOWED ? SOCKS_DENIED : SOCKS_BROKEN;
}

static enum socks_result on_message(struct socks *s, struct side *client, const struct mapping_conf *conf)
{
	switch (s->step) {
	case SOCKS5_GREETING:
		return on_greeting(s, client, conf);
	case SOCKS5_LOGIN:
		return on_login(s, client, conf);
	default:
		return on_request(s, client, conf);
	}
}

enum socks_result socks_talk(struct socks *s, struct side *client, struct worker *w, const struct mapping_conf *conf)
{
	enum socks_result r = SOCKS_WAITS;

	while (r == SOCKS_WAITS) {
		int need = socks5_need(s->step, s->bytes, s->n);
		ssize_t got;

		if (need < 0)
			return SOCKS_BROKEN;
		if (s->n == need) {
			r = on_message(s, client, conf);
			s->n = 0;
			continue;
		}
		got = read_some(client, w, s->bytes + s->n, (size_t)need - s->n);
		if (got <= 0)
			return got == 0 ? SOCKS_WAITS : SOCKS_ENDS;
		s->n = (uint16_t)(s->n + got);
	}
	return r;
}
