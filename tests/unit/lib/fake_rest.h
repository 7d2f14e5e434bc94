/*
 * fake_rest - requests and replies without HTTP: calls a handler of a route table as the server would, for unit tests.
 *
 * fake_rest.c defines the functions of controld/rest/route.h that handlers call, so the linker leaves the real ones out;
 * the test includes that file. Routing, permissions and identities are real; schemas are not checked.
 *
 *	struct fake_call c = { .method = "POST", .path = "/auth/login", .body = json };
 *	fake_call(&c, table, auth);      takes c.body; c.status and c.answer are set
 *	fake_call_fini(&c);
 */
#ifndef PORTWAY_TESTS_FAKE_REST_H
#define PORTWAY_TESTS_FAKE_REST_H

#include "common/base/err.h"
#include "controld/identity/identity.h"
#include "controld/rest/route.h"

struct fake_call {
	const char *method, *path; /* "/api/v1/users/usr_1?limit=3" */
	const char *bearer, *api_key, *if_match, *peer;
	json_t *body;
	/* the outcome */
	int status;
	json_t *answer; /* NULL for none */
	struct err err; /* of a call that failed */
	char retry_after[24], etag[32];
};

void fake_call(struct fake_call *c, struct route_table table, struct authenticator auth);
void fake_call_fini(struct fake_call *c);

#endif
