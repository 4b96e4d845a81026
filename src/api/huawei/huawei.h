/* Huawei Cloud's dialect: EVS replication v2, SDRS v1, and of Keystone v3 and Cinder v2 and v3 what their clients need.
 *
 * One function takes HTTP requests of all of them, finds the route in tables, the caller by a token or a signature
 * (SDK-HMAC-SHA256), and answers JSON. The same disks, pairs, groups, users and policies as the other dialect's. The control
 * thread. */
#ifndef API_HUAWEI_HUAWEI_H
#define API_HUAWEI_HUAWEI_H

#include <stdint.h>

struct auth;
struct catalog;
struct control;
struct error;
struct http_request;
struct huawei;

struct huawei_config {
	struct control *control; /* borrowed until huawei_free, as are the next two */
	struct auth *auth;
	struct catalog *catalog;
	const char *nbd_uris[2]; /* where a disk is reached: "{disk}" stands for its id; "" or NULL for none. Copied. */
	const char *url; /* the base of links and of the catalog, "http://host:port"; "" or NULL: as the client called */
};

/* NULL with the error: the jobs in the catalog cannot be read. */
struct huawei *huawei_new(const struct huawei_config *config, struct error *error);
/* Before control_free: nothing waits for its answers any more. */
void huawei_stop(struct huawei *huawei);
/* After the HTTP server was freed: no request is open. */
void huawei_free(struct huawei *huawei);

/* The http_on_request of a server (data: the struct huawei). */
void huawei_on_request(void *huawei, struct http_request *request);

/* Lets jobs go on; milliseconds until it wants to be called again, at most 1000. */
uint32_t huawei_tick(struct huawei *huawei);

#endif
