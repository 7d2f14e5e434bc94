/*
 * driver_watch - how the programs that share a database hear of each other; part of a driver.
 *
 * Channels are WATCH_CHANGES ("<origin> <seq> <kinds>", by announce) and WATCH_PEERS (by send); a text has less than
 * 8000 bytes.
 *
 * Owner, thread and end: as driver.h says of a connection.
 */
#ifndef PORTWAY_CONTROLD_STORE_DRIVER_WATCH_H
#define PORTWAY_CONTROLD_STORE_DRIVER_WATCH_H

struct driver_conn;
struct err;

#define WATCH_CHANGES "portway_changes"
#define WATCH_PEERS   "portway_peers"
struct driver_watch {
	/* Told to all that listen when the running transaction is committed; text has no quotes. */
	int (*announce)(struct driver_conn *c, const char *channel, const char *text, struct err *e);
	const char *listen[2];            /* statements, outside of a transaction */
	const char *send;                 /* statement: ?1 channel, ?2 text */
	int (*fd)(struct driver_conn *c); /* readable when there may be news, -1 when it is lost */
	int (*next)(struct driver_conn *c, const char **channel, const char **text,
		struct err *e); /* 1: news, borrowed until the next call; 0: none; -1: it is lost */
};

#endif
