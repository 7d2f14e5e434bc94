#include "controld/tunnels/relays.h"

#include <stdlib.h>

void relay_answers_fini(struct relay_answers *a)
{
	free(a->conns);
	*a = (struct relay_answers){ .n = 0 };
}
