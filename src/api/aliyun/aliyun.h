/* Alibaba Cloud's RPC dialect: EBS 2021-07-30 and ECS 2014-05-26 as far as disks and their replication go.
 *
 * One function takes HTTP requests, checks signature version 1, finds the action in the table of operations.c, and answers JSON:
 * what was asked, or an error with the cloud's code and status. The control thread. */
#ifndef API_ALIYUN_ALIYUN_H
#define API_ALIYUN_ALIYUN_H

struct aliyun;
struct auth;
struct control;
struct http_request;

struct aliyun_config {
	struct control *control; /* borrowed until aliyun_free, as is the next */
	struct auth *auth;
	/* Where a disk is reached: "{disk}" stands for its id; "" or NULL for none. Copied. */
	const char *nbd_uris[2];
};

struct aliyun *aliyun_new(const struct aliyun_config *config);
/* After the HTTP server was freed: no request is open. */
void aliyun_free(struct aliyun *aliyun);

/* The http_on_request of a server (data: the struct aliyun). */
void aliyun_on_request(void *aliyun, struct http_request *request);

#endif
