/*
 * panel_call - one page of a list asked for, as often as it takes: the panel's rate kept, what failed tried again.
 *
 * Owner:  the sync that made it; immutable. Thread: any, several at once.
 */
#ifndef PORTWAY_CONTROLD_PANEL_PANEL_CALL_H
#define PORTWAY_CONTROLD_PANEL_PANEL_CALL_H

#include "controld/panel/panel.h"

struct err;
struct outbound;
struct rate;

#define PANEL_URL_MAX 2048 /* bytes, without a list's path */
#define PANEL_KEY_MAX 2048

/* How a panel is reached. */
struct panel_access {
	char url[PANEL_URL_MAX + 1]; /* without a slash at its end; "": there is no such panel */
	char key[PANEL_KEY_MAX + 1];
	/* Cloudflare Access in front of it; "" for none */
	char access_id[PANEL_KEY_MAX + 1];
	char access_secret[PANEL_KEY_MAX + 1];
};

struct panel_call {
	const struct panel_driver *driver;
	const struct panel_access *access;
	struct outbound *outbound;
	struct rate *rate;
	uint64_t timeout_ms;     /* of one request */
	unsigned per_page;       /* wished for */
	bool (*stop)(void *arg); /* asked often, by the thread that calls */
	void *arg;
};

enum panel_outcome {
	PANEL_READ, /* *out is filled; the key may read nothing of it (denied), or what it hangs on is gone (empty) */
	PANEL_STOPPED, /* told to stop */
	PANEL_FAILED,  /* not now */
	PANEL_REFUSED, /* nor later, as long as the settings are what they are */
};

/* *out is a zeroed page; with anything but PANEL_READ it is empty and *e says why. */
enum panel_outcome panel_call_get(const struct panel_call *c, const struct panel_list *l, int64_t parent_id,
	int64_t page, struct panel_page *out, struct err *e) MUST_CHECK;

/* Whether the panel has this list. */
enum panel_outcome panel_call_has(
	const struct panel_call *c, const struct panel_list *l, bool *has, struct err *e) MUST_CHECK;

/* Milliseconds that an answer asks to wait: seconds or a date (Retry-After), or 0. For the unit test as well. */
uint64_t panel_call_retry_after(const char *text, int64_t now_ms);

#endif
