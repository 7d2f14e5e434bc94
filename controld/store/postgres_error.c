/* What a SQLSTATE of PostgreSQL means here. */
#include "common/base/err.h"
#include "common/base/str.h"
#include "controld/store/postgres.h"

#include <stdio.h>
#include <string.h>

/* By class (two characters) or whole state; the first that fits. The text follows "database NAME: ". */
static const struct state {
	const char *state;
	enum err_code code;
	bool again;       /* what others did at the same time; the transaction may run again */
	const char *text; /* NULL: the server's own */
} states[] = {
	{ "23505", ERR_ALREADY_EXISTS, false, NULL },
	{ "23503", ERR_CONFLICT, false, "other rows refer to this one, or it refers to none" },
	{ "40001", ERR_LOCKED, true, "others changed the same at the same time" },
	{ "40P01", ERR_LOCKED, true, "others waited for the same in another order" },
	{ "55P03", ERR_OVERLOADED, false, "another transaction held on to it for too long" },
	{ "57014", ERR_TIMEOUT, false, "the statement took too long" },
	{ "53100", ERR_DISK_FULL, false, "its disk is full; free some and it goes on by itself" },
	{ "53200", ERR_OVERLOADED, false, "it is out of memory" },
	{ "53300", ERR_OVERLOADED, false, "it has too many connections" },
	{ "25006", ERR_STORAGE, false, "it can only be read" },
	{ "22021", ERR_VALIDATION, false, "a text is not UTF-8" },
	{ "42501", ERR_PERMISSION, false, NULL },
	{ "0A000", ERR_LOCKED, true, "its tables were changed just now" }, /* cached plan must not change result type */
	{ "26000", ERR_LOCKED, true, "a prepared statement is gone" },
	{ "58", ERR_STORAGE, false, NULL },
	{ "XX001", ERR_STORAGE, false, NULL },
	{ "XX002", ERR_STORAGE, false, NULL },
	{ "57P", ERR_UNAVAILABLE, false, "it ended the session" },
	{ "08", ERR_UNAVAILABLE, false, "the connection was lost" },
};

static const struct state *state_of(const char *sqlstate)
{
	static const struct state other = { "", ERR_INTERNAL, false, NULL };

	for (size_t i = 0; i < ARRAY_LEN(states); i++)
		if (str_starts(sqlstate, states[i].state))
			return &states[i];
	return &other;
}

/* "Key (tenant_id, email)=(...) already exists." -> "email": the column that made the difference. */
static void unique_field(char *dst, size_t size, const char *detail)
{
	const char *open = detail != NULL ? strchr(detail, '(') : NULL;
	const char *close = open != NULL ? strchr(open, ')') : NULL;

	*dst = '\0';
	if (close == NULL)
		return;
	for (const char *p = open; p < close; p++)
		if (*p == ' ')
			open = p;
	(void)str_fmt(dst, size, "%.*s", (int)(close - open - 1), open + 1);
}

int postgres_fail(struct driver_conn *c, const PGresult *r, struct err *e)
{
	const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	const char *said = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	const struct state *s = state_of(sqlstate != NULL ? sqlstate : "");
	char field[64];

	c->failed = true;
	c->again = s->again;
	if (s->again && sqlstate != NULL && (sqlstate[0] == '0' || sqlstate[0] == '2'))
		c->generation++; /* all statements are prepared again, under new names */
	unique_field(field, sizeof field, PQresultErrorField(r, PG_DIAG_MESSAGE_DETAIL));
	return err_set(e, s->code, s->code == ERR_ALREADY_EXISTS && *field ? field : NULL, "database %s: %s", c->shown,
		s->text != NULL ? s->text
		: said != NULL  ? said
				: PQresultErrorMessage(r));
}
