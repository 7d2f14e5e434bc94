/* Certificates of web sites, and the keys of TLS tickets. */
#include "common/base/clock.h"
#include "controld/app_parts.h"
#include "controld/certs/certs.h"

int app_certs_open(struct app *a, struct err *e)
{
	const struct certs_conf conf = { .certificates_max = (uint32_t)a->settings->tunnels.certificates_max };

	if (certs_new(&a->certs, &conf, a->store, e) != 0)
		return -1;
	return certs_rotate_tickets(a->certs, clock_wall_ms(), e);
}

void app_certs_close(struct app *a)
{
	certs_free(a->certs);
}
