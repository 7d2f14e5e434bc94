/*
 * http_options - what every transfer to controld has: no redirects, its protocols, its CA, no proxy on this machine.
 */
#ifndef PORTWAY_CLIENT_API_HTTP_OPTIONS_H
#define PORTWAY_CLIENT_API_HTTP_OPTIONS_H

#include <curl/curl.h>

/* ca_file may be NULL: the system's. */
void http_set_options(CURL *c, const char *url, const char *ca_file);

#endif
