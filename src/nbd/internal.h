/* The session's own state, shared by session.c (bytes in and out), negotiation.c, starttls.c, transmission.c
 * and reply.c.
 *
 * A step looks at the unread input in the present state: it consumes bytes and returns true, or returns false when it needs
 * more bytes, must wait, or the session has ended. */
#ifndef NBD_INTERNAL_H
#define NBD_INTERNAL_H

#include "base/span.h"
#include "base/list.h"
#include "nbd/budget.h"
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
#define SPARSE_MIN (64u * 1024u) /* a shorter read is not worth a look at where holes are */
#define MESSAGE_MAX 96u

#define SESSION_STATE_LIST(X) \
	X(CLIENT_FLAGS) X(OPTION) X(OPTION_DATA) X(OPTION_SKIP) X(ELSEWHERE) X(STARTTLS) X(REQUEST) X(PAYLOAD) \
	X(PAYLOAD_SKIP) X(ENDED)

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

/* One chunk of a sparse read: a header, then some of the request's buffer, or none. */
struct chunk {
	uint8_t header[NBD_EXTENDED_CHUNK_SIZE + 12];
	uint8_t header_size;
	uint32_t size;
	uint8_t *bytes;
};

/* What only some requests need: where the holes are, and a reply in several chunks. */
struct pending_map {
	struct span spans[NBD_SPANS_MAX];
	struct chunk chunks[NBD_SPANS_MAX];
};

/* A request from its first byte to the last byte of its reply. */
struct pending {
	struct nbd_request request; /* its buffer is of the budget */
	struct list link;           /* of session.output or session.idle */
	uint64_t cookie;
	struct refusal refusal;     /* of a request whose payload is passed over */
	uint32_t buffer_size;       /* as taken; 0 without a buffer */
	uint32_t chunk_count;       /* of map->chunks, which then are all of the reply */
	struct pending_map *map;    /* a buffer, too; NULL as a rule */
	size_t reply_size, payload_size; /* else what is sent: reply, then payload */
	uint8_t *payload;           /* of the buffer or the map */
	size_t total, sent;
	uint8_t reply[NBD_EXTENDED_CHUNK_SIZE + 14 + MESSAGE_MAX];
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
	bool parked;      /* no request is begun */

	/* negotiation; what options have changed is forgotten by nbd_session_secured */
	enum nbd_tls tls;
	bool secured;
	bool no_zeroes;
	bool structured, extended; /* extended headers are structured replies, too */
	char mapped[sizeof(((struct nbd_export *)0)->name)]; /* the export base:allocation was chosen for, or "" */
	uint32_t options, option, option_size, option_skip;
	struct nbd_export export; /* the chosen one */
	uint8_t *text;            /* what negotiation has to say; does not move while it is shown */
	size_t text_size, text_room, text_sent;

	/* transmission */
	bool chosen;
	bool has_allocation;       /* base:allocation may be asked for */
	struct pending *receiving; /* its payload is coming in */
	uint32_t expected, received; /* bytes of it, and so far */
	struct list output, idle;
	struct nbd_budget *budget;
	struct budget_turn turn;
	uint32_t held, in_flight;
	uint64_t held_bytes;
};

typedef bool session_step(struct nbd_session *session);
session_step negotiate_client_flags, negotiate_option, negotiate_option_data, negotiate_option_skip;
session_step transmit_request, transmit_payload, transmit_payload_skip;

/* Answers the present option; the sentence, for the client's user, may be "". */
void negotiation_reply(struct nbd_session *session, uint32_t type, const char *sentence);
/* Whether the present option may be looked at before TLS; has refused it when not. */
bool starttls_permits(struct nbd_session *session);
/* NBD_OPT_STARTTLS with `size` bytes of data. */
void starttls_begin(struct nbd_session *session, uint32_t size);

void negotiation_greet(struct nbd_session *session);
/* `size` bytes of the payload being received have come, wherever they were put. */
void transmission_received(struct nbd_session *session, uint32_t size);
/* Nothing of the request needs its buffer any more. */
void transmission_give_buffer(struct nbd_session *session, struct pending *pending);
/* The reply has been sent, or is of no use: the request is free again. */
void transmission_recycle(struct nbd_session *session, struct pending *pending);

/* Makes the reply and puts it last in the output; error 0: what the request asked for. */
void reply_send(struct nbd_session *session, struct pending *pending, struct refusal refusal);

void session_end(struct nbd_session *session, const char *reason);
/* Appends to what negotiation has to say. */
void session_say(struct nbd_session *session, const void *bytes, size_t size);
/* What had to wait may go on. */
void session_process(struct nbd_session *session);

/* Unread bytes of the input. */
static inline size_t session_available(const struct nbd_session *session) { return session->filled - session->taken; }
static inline const uint8_t *session_bytes(const struct nbd_session *session) { return session->input + session->taken; }

#endif
