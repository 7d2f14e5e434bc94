/*
 * mapping_columns - what a SELECT of mappings has to read, for mapping_load(). For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_COLUMNS_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_COLUMNS_H

#include "controld/clients/client.h"

/* Of MAPPING_FROM, or of the same tables by the same names. */
#define MAPPING_COLUMNS MAPPING_COLUMNS_OF("mt.status", "mu.status", MAPPING_QUOTA)
/* With the status of their tenant and user, and the user's quota. */
#define MAPPING_COLUMNS_OF(tenant, user, quota)                                                                   \
	"m.id, m.tenant_id, m.user_id, m.name, m.description, m.group_id, m.group_name, m.node_id, m.node_name, " \
	"m.active, m.protocol, m.bind_address, m.source_port, m.source_port_end, m.target_host, m.target_port, "  \
	"m.dial_any, m.expires_ms, m.settings, m.version, m.seq, m.created_ms, m.updated_ms, "                    \
	"m.port_picks, m.target_client_id, " MAPPING_OWNER_ACTIVE(tenant,                                         \
		user) ", " quota ", m.source_client_id, m.host_names, m.socks_user, m.socks_proof, m.socks_allow"
/* Joined and not selected for each row: a subquery opens its tables anew every time. */
#define MAPPING_FROM   "mappings m " MAPPING_OWNERS
#define MAPPING_OWNERS "LEFT JOIN tenants mt ON mt.id = m.tenant_id " MAPPING_USERS
#define MAPPING_USERS  "LEFT JOIN users mu ON mu.id = m.user_id LEFT JOIN user_quotas mq ON mq.user_id = m.user_id "
#define MAPPING_QUOTA  /* 0: none, 1: it has one, 2: and it is used up */                                              \
	"CASE WHEN m.user_id = '' OR mq.user_id IS NULL THEN 0 WHEN mq.exceeded = 1 THEN 2 WHEN mq.monthly_bytes > 0 " \
	"THEN 1 ELSE 0 END"
#define MAPPING_OWNER_ACTIVE(tenant, user)                                                                           \
	"CASE WHEN " tenant " = 'active' AND (m.user_id = '' OR " user " = 'active') AND "                           \
	"(m.target_client_id = 0 OR EXISTS (SELECT 1 FROM clients c WHERE c.id = m.target_client_id AND c.status = " \
	"'active' AND " CLIENT_OWNER_ACTIVE                                                                          \
	")) AND (m.source_client_id = 0 OR EXISTS (SELECT 1 FROM clients c WHERE c.id = "                            \
	"m.source_client_id AND c.status = 'active' AND " CLIENT_OWNER_ACTIVE ")) THEN 1 ELSE 0 END"
#define MAPPING_COLUMNS_N 32

#endif
