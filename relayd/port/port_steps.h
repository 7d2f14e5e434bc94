/*
 * port_steps - what a change asks of a port's lanes, and the workers doing it.
 *
 * The control thread plans the steps of each port of a list, then all workers walk the list, each with its own lanes.
 */
#ifndef PORTWAY_RELAYD_PORT_PORT_STEPS_H
#define PORTWAY_RELAYD_PORT_PORT_STEPS_H

#include "common/base/list.h"
#include "relayd/loop/workers.h"

#include <stdbool.h>

struct adopted;
struct object;
struct port;

/* Bits of port.steps, in the order in which they are taken. */
enum port_step {
	STEP_OPEN = 1,     /* serve the sockets */
	STEP_SHUT = 2,     /* leave them alone, they will be closed */
	STEP_SET = 4,      /* run port.object */
	STEP_CUT = 8,      /* end every connection */
	STEP_LEAVE = 16,   /* the mapping is gone; connections may go on until leave_ns */
	STEP_QUIESCE = 32, /* begin nothing new, by the sockets that are there */
	STEP_YIELD = 64,   /* with STEP_QUIESCE: to a successor that has the sockets */
};

enum port_mode {
	PORTS_SERVE,
	PORTS_QUIET,      /* the process ends: nothing new */
	PORTS_HANDED_OVER /* and a successor has the sockets */
};

/* Neither suspended nor expired. */
bool port_steps_may_serve(const struct object *o);
/* From port.object to port.next (NULL: gone), which becomes port.object. */
void port_steps_plan(struct port *p, enum port_mode mode);
/*
 * Runs the steps of every port in the list (by port.todo). desks: the protocol's, by worker. adopted (NULL: nothing): a
 * lane that opens has its predecessor's sessions before it receives: else their clients would get new ones.
 */
void port_steps_run(struct list *ports, struct workers *ws, void **desks, struct adopted *adopted);

#endif
