#include "controld/rest/produce.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/log.h"
#include "common/base/str.h"
#include "controld/loop/loop.h"
#include "controld/loop/pool.h"
#include "controld/rest/call.h"
#include "controld/rest/dispatch.h"
#include "controld/rest/rest_metrics.h"
#include "controld/rest/stream.h"

#include <stdlib.h>

/* The loop's, but for piece, more, rc and e while a worker has it. */
struct producer {
	struct dispatch *dispatch;
	struct stream *stream; /* NULL: it has not begun */
	const struct produce_ops *ops;
	void *state;
	struct pool_job job;
	struct loop_task made;
	struct buf piece;
	bool more;
	int rc;
	struct err e;
	bool busy; /* a worker has it */
	bool gone; /* the client left meanwhile */
	char request_id[REQUEST_ID_SIZE];
};

static void producer_free(struct producer *p)
{
	p->ops->free(p->state);
	dispatch_produced(p->dispatch);
	buf_free(&p->piece);
	free(p);
}

static void work_piece(struct pool_job *job)
{
	struct producer *p = CONTAINER_OF(job, struct producer, job);

	buf_reset(&p->piece);
	p->more = false;
	p->rc = p->ops->next(p->state, &p->piece, &p->more, &p->e);
	if (p->rc == 0 && p->piece.failed)
		p->rc = err_set(
			&p->e, ERR_TOO_LARGE, NULL, "a piece of the answer has more than %d bytes", PRODUCE_PIECE_MAX);
	loop_post(dispatch_loop(p->dispatch), &p->made);
}

static void on_taken(void *arg)
{
	struct producer *p = arg;

	p->busy = true;
	pool_resume(dispatch_lane(p->dispatch, LANE_SLOW), &p->job);
}

static void on_made(void *arg)
{
	struct producer *p = arg;

	p->busy = false;
	if (p->gone) {
		producer_free(p);
		return;
	}
	if (p->rc != 0) {
		log_warn("answer_cut", log_s("request_id", p->request_id), log_err(&p->e));
		rest_metrics_cut(dispatch_metrics(p->dispatch));
		stream_cut(p->stream);
	} else if (p->more && p->piece.len > 0) {
		stream_write_then(p->stream, p->piece.data, p->piece.len, on_taken, p);
	} else if (p->more) {
		on_taken(p);
	} else {
		if (p->piece.len > 0)
			stream_write(p->stream, p->piece.data, p->piece.len);
		stream_end(p->stream); /* on_gone() may have run by now */
	}
}

static void on_begin(void *state, struct stream *s)
{
	struct producer *p = state;

	p->stream = s;
	on_taken(p);
}

static void on_gone(void *state)
{
	struct producer *p = state;

	p->gone = true;
	if (!p->busy)
		producer_free(p);
}

int reply_produce(struct reply *rp, const char *content_type, const struct produce_ops *ops, void *state, struct err *e)
{
	static const struct stream_ops streaming = { on_begin, on_gone };
	struct call *c = CONTAINER_OF(rp, struct call, rp);
	struct producer *p = calloc(1, sizeof *p);

	if (p == NULL)
		return err_set(e, ERR_NOMEM, NULL, "answer: out of memory");
	if (!dispatch_may_produce(c->dispatch)) {
		free(p);
		return err_set(
			e, ERR_OVERLOADED, NULL, "%d long answers are under way, which is the most", PRODUCE_MAX);
	}
	*p = (struct producer){ .dispatch = c->dispatch, .ops = ops, .state = state };
	p->job.work = work_piece;
	list_init(&p->job.node);
	p->made = (struct loop_task){ .fn = on_made, .arg = p };
	buf_init(&p->piece, PRODUCE_PIECE_MAX);
	(void)str_copy(p->request_id, sizeof p->request_id, c->rq.id);
	reply_stream(rp, content_type, &streaming, p);
	return 0;
}
