/*
 * model_certs - certificates, what relays answer their CAs, and ticket keys, read from the database into the model.
 *
 * A certificate stands in the groups in which a route of its tenant ends TLS for one of its names, and so does an answer to a CA; the ticket keys stand in all groups.
 *
 * Thread: the fleet thread.
 */
#ifndef PORTWAY_CONTROLD_FLEET_LINE_MODEL_CERTS_H
#define PORTWAY_CONTROLD_FLEET_LINE_MODEL_CERTS_H

#include "controld/fleet/line/model_balancer.h"

int model_certs_one(const struct model_balancer *m, const char *id, struct err *e) MUST_CHECK;
int model_certs_answer(const struct model_balancer *m, const char *id, struct err *e) MUST_CHECK;
int model_certs_tickets(const struct model_balancer *m, struct err *e) MUST_CHECK;
/* All of them. */
int model_certs_load(const struct model_balancer *m, struct err *e) MUST_CHECK;

#endif
