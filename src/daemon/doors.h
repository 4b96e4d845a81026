/* The doors of the API: where each dialect is reached, and which of them gets a request. One port serves all, or a dialect has
 * its own, by configuration. The control thread, which drives the servers. */
#ifndef DAEMON_DOORS_H
#define DAEMON_DOORS_H

#include <stddef.h>

#include "api/http/http.h"
#include "base/error.h"

struct config;

enum dialect { DIALECT_ALIYUN, DIALECT_HUAWEI, DIALECTS };

/* What takes the requests in a dialect; without a function there is no such dialect, and the first one takes all. */
struct receiver {
	http_on_request *on_request;
	void *data;
};

struct doors {
	struct receiver receivers[DIALECTS];
	struct door {
		struct doors *doors;
		enum dialect dialect; /* DIALECTS: all of them */
		struct http_server *server;
	} rows[DIALECTS]; /* one for all, or one for each */
	size_t count;
};

/* Listens where the configuration says. The receivers are set before; `doors` stays where it is. After an error, too,
 * doors_stop and doors_free are to be called. */
int doors_open(struct doors *doors, const struct config *config, struct error *error);
void doors_stop(struct doors *doors);
/* After the stop, when nobody will answer a request any more. */
void doors_free(struct doors *doors);

/* "HOST:PORT" where this dialect is reached, as bound; borrows. */
const char *doors_address(const struct doors *doors, enum dialect dialect);

/* Whose words a request has that came to a door of several dialects. Pure. */
enum dialect doors_choose(const struct http_request *request);

#endif
