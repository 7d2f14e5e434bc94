#include "relayd/datagram/datagram_service.h"

#include "relayd/datagram/udp_lane.h"
#include "relayd/port/port_service.h"

static const struct service_ops ops = {
	.name = "datagram",
	.apply = port_service_apply,
	.quiesce = port_service_quiesce,
	.drain = port_service_drain,
	.stop = port_service_stop,
	.stats = port_service_stats,
	.list = port_service_list,
	.cut = port_service_cut,
	.hand_over = port_service_hand_over,
	.adopt = port_service_adopt,
};

int datagram_service_new(struct service *out, const struct service_env *env, struct err *e)
{
	struct port_service *s;

	if (port_service_new(&s, &udp_lane_kind, env, e) != 0)
		return -1;
	*out = (struct service){ .ops = &ops, .self = s };
	return 0;
}
