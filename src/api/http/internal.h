/* Private to api/http. */
#ifndef API_HTTP_INTERNAL_H
#define API_HTTP_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* Names and values, each on the heap. */
struct http_parameters {
	size_t count;
	size_t room;
	struct http_parameter {
		char *name;
		char *value;
	} *rows;
};

/* Copies the two texts. -E2BIG past HTTP_PARAMETERS_MAX, -EINVAL when one holds a zero byte. */
int http_parameters_add(struct http_parameters *parameters, const char *name, size_t name_size, const char *value,
			size_t value_size);
/* Adds what a body of type application/x-www-form-urlencoded holds; errors as above, -EINVAL for a bad escape. */
int http_parameters_add_form(struct http_parameters *parameters, const char *body, size_t size);
void http_parameters_fini(struct http_parameters *parameters);

/* When the requests that are arriving began, and what becomes of those that take too long: arrival.c. */
struct http_arrivals {
	struct list open; /* struct http_arrival, the oldest first */
	uint64_t late_ms, cut_ms;
};
void http_arrivals_init(struct http_arrivals *arrivals);
/* One a connection, whose socket it borrows. */
struct http_arrival *http_arrival_new(int socket);
void http_arrival_free(struct http_arrival *arrival);
/* A request may begin: the connection is new, or the answer before has gone. */
void http_arrival_begin(struct http_arrivals *arrivals, struct http_arrival *arrival);
/* The request is here. False: too late. */
bool http_arrival_end(const struct http_arrivals *arrivals, struct http_arrival *arrival);
/* Milliseconds until http_arrivals_cut has something to do, -1: nothing arrives. */
int http_arrivals_timeout(const struct http_arrivals *arrivals);
/* Ends the connections whose requests do not come to their end. */
void http_arrivals_cut(struct http_arrivals *arrivals);

/* Binds and listens on "HOST:PORT". Gives the socket and the address as bound, or fills the error. */
struct error;
int http_listen(const char *address, int *out_socket, char *out_address, size_t size, struct error *error);

#endif
