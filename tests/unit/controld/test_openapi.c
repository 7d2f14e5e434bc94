#include "controld/rest/openapi.h"

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/macros.h"
#include "controld/rest/router.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int handle(void *feature, struct request *rq, struct reply *rp, struct err *e)
{
	(void)feature;
	(void)rq;
	(void)rp;
	(void)e;
	return 0;
}

/* A schema that holds its own kind, and one inside a list. */
extern const struct schema node_schema;
static const struct schema_field node_fields[] = {
	{ .name = "id", .type = SCHEMA_STRING, .flags = SCHEMA_READ_ONLY },
	{ .name = "name", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED, .help = "What people call it" },
	{ .name = "children", .type = SCHEMA_ARRAY, .sub = &node_schema },
	{ .name = "parent", .type = SCHEMA_OBJECT, .sub = &node_schema, .flags = SCHEMA_NULLABLE },
	{ .name = "limit", .type = SCHEMA_INT, .flags = SCHEMA_NULLABLE, .min = 1, .max = 9 },
};
const struct schema node_schema = { .name = "Node", .fields = node_fields, .n = ARRAY_LEN(node_fields) };

static const struct schema_field list_fields[] = {
	{ .name = "items", .type = SCHEMA_ARRAY, .sub = &node_schema },
};
static const struct schema list_schema = { .fields = list_fields, .n = 1 };

static const struct schema_field filter_fields[] = {
	{ .name = "kind", .type = SCHEMA_STRING, .flags = SCHEMA_REQUIRED },
	{ .name = "deep", .type = SCHEMA_BOOL },
};
static const struct schema filter = { .fields = filter_fields, .n = ARRAY_LEN(filter_fields) };

static const struct route rows[] = {
	{ "GET", "/nodes", PERM_READ, LANE_DB, &filter, NULL, &list_schema, 200, 0, handle, "List nodes", "Nodes" },
	{ "POST", "/nodes", PERM_WRITE, LANE_DB, NULL, &node_schema, &node_schema, 201, 0, handle, "Create a node",
		"Nodes" },
	{ "PUT", "/nodes/{id}", PERM_WRITE, LANE_DB, NULL, &node_schema, &node_schema, 200, ROUTE_PARTIAL, handle,
		"Change", "Nodes" },
	{ "GET", "/nodes/{id}/disks/{disk}", PERM_READ, LANE_DB, NULL, NULL, NULL, 0, 0, handle, NULL, NULL },
	{ "GET", "/open", PERM_PUBLIC, LANE_LOOP, NULL, NULL, NULL, 204, 0, handle, "Open to all", "System" },
};

static json_t *document(void)
{
	struct router *r;
	struct buf out;
	struct err e;
	json_t *doc;

	assert_int_equal(router_new(&r, &e), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(router_add(r, &rows[i], NULL, &e), 0);
	buf_init(&out, 1 << 20);
	assert_int_equal(openapi_render(&out, r, "https://panel.example", &e), 0);
	doc = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(doc);
	buf_free(&out);
	router_free(r);
	return doc;
}

/* A value by its path: "/paths/~nodes/get/tags/0"; '~' stands for '/'. */
static const json_t *at(const json_t *v, const char *path)
{
	char names[256], *rest = names, *name;

	assert_true(strlen(path) < sizeof names);
	strcpy(names, path + 1);
	while ((name = strsep(&rest, "/")) != NULL) {
		for (char *p = name; *p != '\0'; p++)
			if (*p == '~')
				*p = '/';
		v = json_is_array(v) ? json_array_get(v, (size_t)(name[0] - '0')) : json_object_get(v, name);
		if (v == NULL)
			fail_msg("%s: %s is not there", path, name);
	}
	return v;
}

static void expect_text(const json_t *doc, const char *path, const char *want)
{
	assert_string_equal(json_string_value(at(doc, path)), want);
}

static void test_operations(void **state)
{
	json_t *doc = document();

	(void)state;
	expect_text(doc, "/openapi", "3.1.0");
	expect_text(doc, "/servers/0/url", "https://panel.example");
	expect_text(doc, "/paths/~nodes/get/summary", "List nodes");
	expect_text(doc, "/paths/~nodes/get/tags/0", "Nodes");
	expect_text(doc, "/paths/~nodes/get/operationId", "getNodes");
	expect_text(doc, "/paths/~nodes~{id}~disks~{disk}/get/operationId", "getNodesIdDisksDisk");
	expect_text(doc, "/paths/~nodes/get/parameters/0/name", "kind");
	assert_true(json_is_true(at(doc, "/paths/~nodes/get/parameters/0/required")));
	assert_true(json_is_false(at(doc, "/paths/~nodes/get/parameters/1/required")));
	expect_text(doc, "/paths/~nodes/post/parameters/0/name", "Idempotency-Key");
	expect_text(doc, "/paths/~nodes~{id}/put/parameters/0/name", "id");
	expect_text(doc, "/paths/~nodes~{id}/put/parameters/1/name", "If-Match");
	expect_text(doc, "/paths/~nodes/post/responses/201/content/application~json/schema/$ref",
		"#/components/schemas/Node");
	expect_text(doc, "/paths/~nodes/post/requestBody/content/application~json/schema/$ref",
		"#/components/schemas/Node");
	expect_text(doc, "/paths/~nodes~{id}/put/requestBody/content/application~json/schema/$ref",
		"#/components/schemas/NodeUpdate");
	expect_text(doc, "/components/schemas/Node/required/0", "name");
	assert_null(json_object_get(at(doc, "/components/schemas/NodeUpdate"), "required"));
	expect_text(doc, "/components/schemas/NodeUpdate/properties/name/description", "What people call it");
	expect_text(doc, "/paths/~nodes/post/responses/default/$ref", "#/components/responses/Error");
	assert_int_equal(json_array_size(at(doc, "/paths/~open/get/security")), 0);
	assert_int_equal(json_array_size(at(doc, "/paths/~nodes/get/security")), 2);
	assert_null(json_object_get(at(doc, "/paths/~open/get"), "x-role"));
	expect_text(doc, "/paths/~nodes/get/x-role", "viewer");
	expect_text(doc, "/components/securitySchemes/bearer/scheme", "bearer");
	expect_text(doc, "/components/securitySchemes/api_key/name", "X-API-Key");
	expect_text(doc, "/components/schemas/Node/properties/name/description", "What people call it");
	expect_text(doc, "/components/schemas/Node/properties/limit/type/1", "null");
	assert_int_equal(json_array_size(at(doc, "/tags")), 2);
	json_decref(doc);
}

static void check_refs(const json_t *doc, json_t *v)
{
	const char *name;
	json_t *member;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(v, i, member) check_refs(doc, member);
		return;
	}
	json_object_foreach(v, name, member)
	{
		if (strcmp(name, "$ref") == 0)
			(void)at(doc, json_string_value(member) + 1);
		else
			check_refs(doc, member);
	}
}

static void test_every_reference_leads_somewhere(void **state)
{
	json_t *doc = document();

	(void)state;
	check_refs(doc, doc);
	json_decref(doc);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_every_reference_leads_somewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
