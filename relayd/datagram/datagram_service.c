#include "relayd/datagram/datagram_service.h"

#include "relayd/datagram/udp_lane.h"
#include "relayd/port/port_service.h"

static const struct service_ops ops = PORT_SERVICE_OPS("datagram");

int datagram_service_new(struct service *out, const struct service_env *env, struct err *e)
{
	struct port_service *s;

	if (port_service_new(&s, &udp_lane_kind, env, e) != 0)
		return -1;
	*out = (struct service){ .ops = &ops, .self = s };
	return 0;
}
