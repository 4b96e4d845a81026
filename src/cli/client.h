/* The API over HTTP: Alibaba's RPC style, signature version 1. One call at a time. */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "base/error.h"

struct client;

#define EBS "2021-07-30"
#define ECS "2014-05-26"
#define RAM "2015-05-01"
#define CLIENT_PARAMETERS_MAX 16

struct parameter {
	const char *name;
	const char *value; /* NULL or "": not sent */
};

/* Credentials from the options, the environment, or DIR/credentials (`directory` may be NULL: OFFSITE_DIR, then
 * /var/lib/offsite). Gives the client. */
int client_new(const char *directory, const char *endpoint, struct client **out_client, struct error *error);
void client_free(struct client *client);

/* Gives the answer, to be released by json_decref, or NULL with a sentence. `parameters` ends with a NULL name. */
json_t *client_call(struct client *client, const char *version, const char *action, const struct parameter *parameters,
		    struct error *error);

#endif
