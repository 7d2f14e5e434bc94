/*
 * vhost_service - mappings with host names: the services that app.c runs beside the stream and datagram services (see
 * relayd/loop/service.h), one for each shared port.
 */
#ifndef PORTWAY_RELAYD_VHOST_VHOST_SERVICE_H
#define PORTWAY_RELAYD_VHOST_VHOST_SERVICE_H

#include "relayd/loop/service.h"

struct err;

/* Fill *out; ended by out->ops->stop(). */
int vhost_http_service_new(struct service *out, const struct service_env *env, struct err *e) MUST_CHECK;
int vhost_tls_service_new(struct service *out, const struct service_env *env, struct err *e) MUST_CHECK;

#endif
