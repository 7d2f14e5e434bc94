/*
 * fleet_stats - what the fleet counts; part of fleet.h.
 */
#ifndef PORTWAY_CONTROLD_FLEET_FLEET_STATS_H
#define PORTWAY_CONTROLD_FLEET_FLEET_STATS_H

#include <stdint.h>

/* For /metrics; X(name, what): the counters first, then gauges. */
#define FLEET_COUNTERS(X)                                                        \
	X(reports_stored, "reports of relays that are on disk")                  \
	X(reports_failed, "reports that could not be stored")                    \
	X(report_commits, "transactions in which they were stored")              \
	X(deltas, "updates with changes")                                        \
	X(snapshots, "updates with everything")                                  \
	X(snapshot_pages, "messages of these")                                   \
	X(nothings, "polls answered without news")                               \
	X(laters, "polls told to come back for their snapshot")                  \
	X(superseded, "polls that a newer one of the same relay replaced")       \
	X(joins, "relays that joined")                                           \
	X(renewals, "certificates renewed")                                      \
	X(joins_refused, "joins and renewals refused")                           \
	X(joins_limited, "joins that came too fast")                             \
	X(certs_limited, "certificates refused: the node has too many")          \
	X(reports_refused, "reports refused: the node has too many boots")       \
	X(meters_skipped, "meters not stored: the node has too many")            \
	X(strangers_refused, "strangers beyond the share of their address")      \
	X(connections_refused, "connections without a good certificate or room") \
	X(connections_expelled, "connections closed for what they sent")         \
	X(malformed, "messages that could not be read")                          \
	X(events_lost, "online and offline events that found no room")           \
	X(relays_moved, "relays that were sent to another controld")             \
	X(bytes_in, "bytes of messages from relays")                             \
	X(bytes_out, "bytes of messages to relays")
#define FLEET_GAUGES(X)                                                        \
	X(nodes_online, "relays that are online")                              \
	X(polls_parked, "polls that wait for news")                            \
	X(snapshots_running, "relays that are fetching a snapshot")            \
	X(reports_waiting, "reports that wait for the disk")                   \
	X(connections, "connections of relays")                                \
	X(contexts, "requests that can be open at once")                       \
	X(ca_step, "rotations and retirements of the CA")                      \
	X(ca_behind, "relays without a certificate of this step")              \
	X(ca_ends_s, "seconds since 1970 when the CA that signs ends")         \
	X(objects, "objects that relays run")                                  \
	X(agents_left_out, "agents that relays have and did not list")         \
	X(targets_left_out, "agents' troubles with targets that they did not") \
	X(revision, "sequence of the change log that relays are told of")

struct fleet_stats {
#define X(name, what) uint64_t name;
	FLEET_COUNTERS(X)
	FLEET_GAUGES(X)
#undef X
};

#endif
