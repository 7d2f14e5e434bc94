/*
 * mapping_columns - what a SELECT of mappings has to read, for mapping_load(). For the files of this folder only.
 */
#ifndef PORTWAY_CONTROLD_TUNNELS_MAPPING_COLUMNS_H
#define PORTWAY_CONTROLD_TUNNELS_MAPPING_COLUMNS_H

#include "controld/clients/client.h"

/* mappings must be called m. */
#define MAPPING_COLUMNS                                                                                           \
	"m.id, m.tenant_id, m.user_id, m.name, m.description, m.group_id, m.group_name, m.node_id, m.node_name, " \
	"m.active, m.protocol, m.bind_address, m.source_port, m.source_port_end, m.target_host, m.target_port, "  \
	"m.dial_any, m.expires_ms, m.settings, m.version, m.seq, m.created_ms, m.updated_ms, "                    \
	"m.port_picks, m.target_client_id, " MAPPING_OWNER_ACTIVE ", " MAPPING_QUOTA                              \
	", m.source_client_id, m.host_names, m.socks_user, m.socks_proof, m.socks_allow"
#define MAPPING_QUOTA /* 0: none, 1: it has one, 2: and it is used up */                                    \
	"coalesce((SELECT CASE WHEN q.exceeded = 1 THEN 2 WHEN q.monthly_bytes > 0 THEN 1 ELSE 0 END FROM " \
	"user_quotas q WHERE m.user_id <> '' AND q.user_id = m.user_id), 0)"
#define MAPPING_OWNER_ACTIVE                                                                                          \
	"CASE WHEN EXISTS (SELECT 1 FROM tenants n WHERE n.id = m.tenant_id AND n.status = 'active') AND (m.user_id " \
	"= '' OR EXISTS (SELECT 1 FROM users u WHERE u.id = m.user_id AND u.status = 'active')) AND "                 \
	"(m.target_client_id = 0 OR EXISTS (SELECT 1 FROM clients c WHERE c.id = m.target_client_id AND c.status = "  \
	"'active' AND " CLIENT_OWNER_ACTIVE                                                                           \
	")) AND (m.source_client_id = 0 OR EXISTS (SELECT 1 FROM clients c WHERE c.id = "                             \
	"m.source_client_id AND c.status = 'active' AND " CLIENT_OWNER_ACTIVE ")) THEN 1 ELSE 0 END"
#define MAPPING_COLUMNS_N 32

#endif
