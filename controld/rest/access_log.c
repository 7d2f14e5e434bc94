#include "controld/rest/access_log.h"

#include "common/base/log.h"
#include "controld/rest/call.h"
#include "controld/rest/server.h"

void access_log_write(const struct call *c, uint64_t duration_ns)
{
	const struct request *rq = &c->rq;
	const struct reply *rp = &c->rp;
	const enum log_level level = rp->status >= 500 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;
	char peer[ADDR_STRLEN];

	if (c->conf->access_log == SERVER_LOG_OFF || (c->conf->access_log == SERVER_LOG_ERRORS && rp->status < 400) ||
		!log_enabled(level))
		return;
	addr_print_ip(&rq->peer, peer);
	LOG_AT(level, "http_request", log_s("method", rq->in.method), log_s("path", rq->path),
		log_i("status_code", rp->status), log_d("duration_ms", (double)duration_ns / 1e6),
		log_u("bytes", rp->body.len), log_s("request_id", rq->id), log_s("remote", peer),
		log_s("tenant", rq->has_identity ? rq->identity.tenant_id : NULL),
		log_s("actor", rq->has_identity ? rq->identity.actor : NULL));
}
