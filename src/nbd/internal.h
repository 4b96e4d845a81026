/* The session's own state, shared by session.c (bytes in and out), negotiation.c and transmission.c.
 *
 * A step looks at the unread input in the present state: it consumes bytes and returns true, or returns false when it needs
 * more bytes, must wait, or the session has ended. */
#ifndef NBD_INTERNAL_H
#define NBD_INTERNAL_H

#include "base/list.h"
#include "nbd/buffers.h"
#include "nbd/format.h"
#include "nbd/session.h"

/* Limits on what one client can make the server hold or do. */
#define INPUT_SIZE (128u * 1024u)     /* receive buffer: some 30 small writes at once */
#define DIRECT_MIN (32u * 1024u)      /* a payload with more than this to come is received into its request */
#define OPTIONS_MAX 1024u             /* options a client may try before it chooses */
#define OPTION_SIZE_MAX (8u * 1024u)  /* names are up to 4 KiB */
#define OPTION_SKIP_MAX (64u * 1024u) /* a longer option is refused and passed over; beyond this the session ends */
#define TEXT_MAX (64u * 1024u)        /* unsent answers to options above which no further option is looked at */
#define HELD_MAX 128u                 /* requests from their first byte to the last byte of their reply */
#define HELD_BYTES_MAX (64u * 1024u * 1024u)   /* payload of those above which no further request is looked at */
#define WRITE_SKIP_MAX (64u * 1024u * 1024u)   /* a longer write is not passed over: the session ends */
#define MESSAGE_MAX 96u

#define SESSION_STATE_LIST(X) \
	X(CLIENT_FLAGS) X(OPTION) X(OPTION_DATA) X(OPTION_SKIP) X(REQUEST) X(PAYLOAD) X(PAYLOAD_SKIP) X(ENDED)

enum session_state {
#define X(name) SESSION_##name,
	SESSION_STATE_LIST(X)
#undef X
	SESSION_STATES,
};

/* Why a request is refused: NBD's number and a sentence for the client; error 0: it is not. */
struct refusal {
	uint32_t error;
	const char *why;
};

/* A request from its first byte to the last byte of its reply. */
struct pending {
	struct nbd_request request; /* its buffer is of session.buffers */
	struct list link;           /* of session.output or session.idle */
	uint64_t cookie;
	bool is_read;
	struct refusal refusal;     /* of a write whose payload is passed over */
	uint32_t buffer_size;       /* as taken; 0 without a buffer */
	size_t reply_size, payload_size; /* what is sent: reply, then that much of the buffer */
	size_t sent;
	uint8_t reply[NBD_CHUNK_SIZE + 8 + MESSAGE_MAX];
};

struct nbd_session {
	const struct nbd_host *ops;
	void *host;
	enum session_state state;
	bool abandoned; /* replies are of no use any more */
	const char *reason;

	uint8_t *input;
	size_t filled, taken;
	uint8_t *wanted;  /* where the host was told to put bytes; NULL when it was not */
	bool processing;
	bool showing;     /* the host holds what nbd_session_output gave */

	/* negotiation */
	bool no_zeroes, structured;
	uint32_t options, option, option_size, option_skip;
	struct nbd_export export; /* the chosen one */
	uint8_t *text;            /* what negotiation has to say; does not move while it is shown */
	size_t text_size, text_room, text_sent;

	/* transmission */
	bool chosen;
	struct pending *receiving; /* its payload is coming in */
	uint32_t received;         /* bytes of it so far */
	struct list output, idle;
	struct buffers buffers;
	uint32_t held, in_flight;
	uint64_t held_bytes;
};

typedef bool session_step(struct nbd_session *session);
session_step negotiate_client_flags, negotiate_option, negotiate_option_data, negotiate_option_skip;
session_step transmit_request, transmit_payload, transmit_payload_skip;

void negotiation_greet(struct nbd_session *session);
/* `size` bytes of the payload being received have come, wherever they were put. */
void transmission_received(struct nbd_session *session, uint32_t size);
/* The reply has been sent, or is of no use: the request is free again. */
void transmission_recycle(struct nbd_session *session, struct pending *pending);

void session_end(struct nbd_session *session, const char *reason);
/* Appends to what negotiation has to say. */
void session_say(struct nbd_session *session, const void *bytes, size_t size);
/* What had to wait may go on. */
void session_process(struct nbd_session *session);

/* Unread bytes of the input. */
static inline size_t session_available(const struct nbd_session *session) { return session->filled - session->taken; }
static inline const uint8_t *session_bytes(const struct nbd_session *session) { return session->input + session->taken; }

#endif
