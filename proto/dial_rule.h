/*
 * dial_rule - whether a relay may connect to an address for a mapping or a pool. Pure. The relay asks with the resolved
 * address at each dial, so a name that points somewhere else today is judged by where it points today; controld asks when
 * somebody writes a target that is an address already, so that he reads why it cannot work.
 */
#ifndef PORTWAY_PROTO_DIAL_RULE_H
#define PORTWAY_PROTO_DIAL_RULE_H

#include <stdbool.h>

struct addr;
struct mapping_cidrs;
struct mapping_conf;

/*
 * dial_any opens everything; else one of the grants (dial_allow) must match. A special address (loopback, private, metadata,
 * ...) needs a grant that lies wholly in special space: 0.0.0.0/0 says "the Internet", not "our own network".
 */
bool dial_rule_grants(bool any, const struct mapping_cidrs *grants, const struct addr *to);
bool dial_rule_allows(const struct mapping_conf *conf, const struct addr *to);

#endif
