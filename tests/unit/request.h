/* A request made of bytes: stands in for api/http's server, so that what takes requests can be tested without a socket. Defines
 * the functions on requests of http.h, but those that answer, which are the test's own. */
#ifndef TESTS_REQUEST_H
#define TESTS_REQUEST_H

#include <stddef.h>

struct http_request;

/* The bytes as they came: request line, headers, an empty line, body. NULL where the server would not hand it over. A last line
 * may lack its end; the body is whatever follows, without regard to Content-Length. */
struct http_request *request_new(const char *bytes, size_t size);
void request_free(struct http_request *request);

/* Replaces the first of that name, or adds one at the end (a parameter: as if of the form). < 0: no room. */
int request_set_header(struct http_request *request, const char *name, const char *value);
int request_set_parameter(struct http_request *request, const char *name, const char *value);

#endif
