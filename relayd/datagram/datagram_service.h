/*
 * datagram_service - UDP tunnel ports: the service that app.c runs beside the stream service (see service.h).
 */
#ifndef PORTWAY_RELAYD_DATAGRAM_DATAGRAM_SERVICE_H
#define PORTWAY_RELAYD_DATAGRAM_DATAGRAM_SERVICE_H

#include "relayd/loop/service.h"

struct err;

/* Fills *out; ended by out->ops->stop(). */
int datagram_service_new(struct service *out, const struct service_env *env, struct err *e) MUST_CHECK;

#endif
