/* Private to api/http. */
#ifndef API_HTTP_INTERNAL_H
#define API_HTTP_INTERNAL_H

#include <stddef.h>

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

/* Binds and listens on "HOST:PORT". Gives the socket and the address as bound, or fills the error. */
struct error;
int http_listen(const char *address, int *out_socket, char *out_address, size_t size, struct error *error);

#endif
