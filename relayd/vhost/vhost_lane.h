/*
 * vhost_lane - a mapping with host names on one worker: a TCP lane whose connections come from the shared port.
 */
#ifndef PORTWAY_RELAYD_VHOST_VHOST_LANE_H
#define PORTWAY_RELAYD_VHOST_VHOST_LANE_H

#include "relayd/port/port_kind.h"

extern const struct port_kind vhost_http_kind, vhost_tls_kind;

#endif
