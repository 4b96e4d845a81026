/* A client and a host in memory, around one nbd_session: bytes go in and come out in slices of any size. */
#ifndef TESTS_NBD_CLIENT_H
#define TESTS_NBD_CLIENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdbool.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/budget.h"
#include "nbd/format.h"
#include "nbd/session.h"

#define EXPORT_SIZE (48u * 1024u * 1024u)
#define EXPORT_NAME "d-one"
#define EXPORT_TEXT "the first disk"
#define HELD_MAX 256

struct client {
	struct nbd_session *session;
	struct nbd_budget budget; /* without limit */
	size_t slice; /* at most so many bytes in or out at once */
	/* the host */
	uint8_t *disk;
	bool read_only, refuse_open, empty;
	bool elsewhere; /* every export */
	bool hold;  /* requests wait in `held` */
	int result; /* of every request */
	uint64_t fails_after; /* how far into the range a failure happens */
	bool knows_holes;     /* blocks of zeros */
	struct nbd_request *held[HELD_MAX];
	size_t held_count;
	uint32_t submitted, submitted_max;
	struct nbd_request last; /* a copy of the request submitted last */
	unsigned wakes, closes;
	/* what the session said and is not read yet */
	uint8_t *out;
	size_t out_size, out_room, out_read;
	uint64_t cookie;
	bool extended;
	uint32_t context;     /* the id of base:allocation */
	uint64_t told_offset; /* in the header of the last extended chunk */
};

void client_init(struct client *client, size_t slice);
void client_init_within(struct client *client, size_t slice, struct nbd_budget *budget); /* one that several share */
void client_fini(struct client *client);

/* Feeds until all is taken, the session wants no more (and nothing is left to send), or it has ended; gives what was taken. */
size_t client_feed(struct client *client, const void *bytes, size_t size);
/* Takes what there is to send. */
void client_drain(struct client *client);
/* Answers the request of this rank among those held. */
void client_answer(struct client *client, size_t index, int result);

/* --- messages --- */
void client_hello(struct client *client, uint32_t flags); /* reads the greeting, sends client flags */
void client_option(struct client *client, uint32_t option, const void *data, uint32_t size);
void client_go(struct client *client); /* hello and GO, to the end */
void client_choose_allocation(struct client *client); /* SET_META_CONTEXT */
void client_go_structured(struct client *client);     /* with base:allocation, as the next */
void client_go_extended(struct client *client);
/* Gives the cookie; payload only for writes. */
uint64_t client_request(struct client *client, uint16_t type, uint16_t flags, uint64_t offset, uint64_t length,
			const void *payload);

/* --- what was said; each fails the test when it is not that --- */
const uint8_t *expect_bytes(struct client *client, size_t size);
/* Gives the data of the reply. */
const uint8_t *expect_option_reply(struct client *client, uint32_t option, uint32_t type, uint32_t *out_size);
void expect_simple(struct client *client, uint64_t cookie, uint32_t error);
/* Gives the payload. */
const uint8_t *expect_chunk(struct client *client, uint64_t cookie, uint16_t flags, uint16_t type, uint32_t *out_size);
/* Of a request without data in its reply. */
void expect_success(struct client *client, uint64_t cookie);
/* One descriptor of a block status. */
void expect_span(struct client *client, const uint8_t **at, uint64_t length, bool hole);
/* An error chunk, the last of its reply. */
void expect_error_chunk(struct client *client, uint64_t cookie, uint32_t error);
void expect_nothing(struct client *client);
void expect_ended(struct client *client, const char *reason);

#endif
