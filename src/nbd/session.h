/* One NBD client connection as states over bytes: fixed newstyle negotiation, then transmission. Server side.
 *
 * Follows the NBD protocol document ("proto.md" of the NBD project); section names are cited in the code. No socket, no
 * memory but its own, no thread: the daemon feeds it bytes from a socket, the fuzzer from a file, tests from arrays. */
#ifndef NBD_SESSION_H
#define NBD_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct span;
struct nbd_budget;
struct nbd_session;
struct nbd_request;

#define NBD_PAYLOAD_MAX (32u * 1024u * 1024u) /* bytes of one READ or WRITE; advertised as the maximum block size */
#define NBD_SPANS_MAX 64u                   /* that one request is answered with */
#define NBD_REQUEST_BYTES_MAX (2u * NBD_PAYLOAD_MAX) /* memory one request may need, and some */

/* What a client may or must do about TLS: the modes NOTLS, SELECTIVETLS and FORCEDTLS of the protocol document. */
enum nbd_tls { NBD_TLS_OFF, NBD_TLS_ALLOWED, NBD_TLS_REQUIRED };

enum nbd_command { NBD_READ, NBD_WRITE, NBD_FLUSH, NBD_TRIM, NBD_WRITE_ZEROES, NBD_CACHE, NBD_BLOCK_STATUS };

/* What a client may see of an export. Strings are borrowed for the call. */
struct nbd_export {
	char name[256];
	char description[256];
	uint64_t size;       /* bytes */
	bool read_only;
	bool rotational;
	void *disk;          /* the host's, handed back with each request */
};

enum nbd_found {
	NBD_NOT_FOUND,
	NBD_FOUND,
	NBD_ELSEWHERE, /* there is such an export, but not here or not now: the option waits for nbd_session_resume */
};

/* What the session asks of its host (the daemon, a test, the fuzzer). All are called from within nbd_session_input,
 * nbd_session_new, nbd_session_sent, nbd_session_done, nbd_session_resume or nbd_session_abandon. */
struct nbd_host {
	/* The export called `name`. */
	enum nbd_found (*find)(void *host, const char *name, struct nbd_export *out_export);
	/* The next export for LIST, its name and description; false past the last. *place is the host's own, 0 at first. */
	bool (*list)(void *host, uint32_t *place, struct nbd_export *out_export);
	/* The client chose the export and enters transmission: false refuses (gone meanwhile). */
	bool (*open)(void *host, const struct nbd_export *chosen);
	/* Carry out a request, then call nbd_session_done, now or later, in any order. */
	void (*submit)(void *host, struct nbd_request *request);
	/* There are bytes to send (nbd_session_output gives them), it wants input again, or the session has ended. */
	void (*wake)(void *host);
};

/* A request in flight. The session allocates and frees it; the host reads the first fields. */
struct nbd_request {
	enum nbd_command command;
	bool force_unit_access;
	bool no_hole;   /* WRITE_ZEROES: keep the space */
	bool fast;      /* WRITE_ZEROES: -EOPNOTSUPP when it takes as long as a write */
	bool one;       /* BLOCK_STATUS: the first span is all that is wanted */
	uint64_t offset;
	uint64_t length; /* READ and WRITE: up to NBD_PAYLOAD_MAX; the others: up to the end of the export */
	uint8_t *buffer; /* READ: to be filled; WRITE: the payload; page aligned; NULL otherwise */
	void *disk;      /* of the chosen export */
	void *host_data; /* the host's own use */
	/* Room for NBD_SPANS_MAX, to be filled by the host, in order from `offset` on and not beyond the range.
	 * BLOCK_STATUS: one at least. READ, when not NULL: all of the range, or none; the buffer of a hole is not looked at. */
	struct span *spans;
	uint32_t span_count;
	uint64_t failed_at; /* of a failure: the host may set it to where in the range it happened */
};

/* Gives a session; `host` and budget are kept. The greeting is in the output at once. */
struct nbd_session *nbd_session_new(const struct nbd_host *ops, void *host, struct nbd_budget *budget);
/* No request may be in flight (nbd_session_in_flight() == 0). */
void nbd_session_free(struct nbd_session *session);

/* --- TLS, which the host does, below the session --- */

/* Right after nbd_session_new; else TLS is off. */
void nbd_session_offer_tls(struct nbd_session *session, enum nbd_tls mode);
/* The client has asked for TLS, and is told so in the output. When that is empty the host puts TLS under the stream, and calls
 * nbd_session_secured once the client was admitted; until then the session wants no input. */
bool nbd_session_upgrading(const struct nbd_session *session);
void nbd_session_secured(struct nbd_session *session);

/* Where the next received bytes should go: at least one byte of room, or NULL when the session wants no more input now (too
 * much in flight or unsent, or ended): ask again after nbd_session_done and nbd_session_sent. The room is the host's until
 * nbd_session_input. Large write payloads are received straight into their request. */
uint8_t *nbd_session_want(struct nbd_session *session, size_t *out_room);
/* `size` bytes have been placed where nbd_session_want said; 0: the receive was given up, and nothing came. */
void nbd_session_input(struct nbd_session *session, size_t size);

struct iovec;
/* Fills iov with what is to be sent, in order; returns the number of entries (0: nothing). The bytes stay valid until
 * nbd_session_sent says how many were taken. One output at a time; max is at least 3. */
int nbd_session_output(struct nbd_session *session, struct iovec *iov, int max);
void nbd_session_sent(struct nbd_session *session, size_t size);

/* The host's answer: 0 or a negative errno (mapped to NBD's own error numbers). Frees the request, or queues its reply. */
void nbd_session_done(struct nbd_session *session, struct nbd_request *request, int result);

/* --- a session that goes on elsewhere: with another budget, in another thread --- */

/* From now on no request is begun; one whose payload is being received is completed first, and all that are held are answered.
 * What is received behind them waits in the session's own buffer. */
void nbd_session_park(struct nbd_session *session);
/* True once a parked session holds no request, nothing of the budget, and has nothing to send: all of it is in its own memory. */
bool nbd_session_is_parked(const struct nbd_session *session);
/* Ends a park, and the wait of an option that the host found elsewhere: the host is asked for its export again. `budget` is kept:
 * the same as before, or another when the session holds nothing of the old one (it is parked, or negotiates) and the host holds
 * nothing of the session: no receive and no send is under way. */
void nbd_session_resume(struct nbd_session *session, struct nbd_budget *budget);

/* The connection is of no use any more: no further request is submitted, what was received of one is dropped, and so are
 * replies. What is in flight is still given back with nbd_session_done. */
void nbd_session_abandon(struct nbd_session *session, const char *reason);

/* Nothing more will be read from this client: it disconnected, aborted, or broke the protocol. The host closes the socket
 * once nothing is in flight and the output is empty. */
bool nbd_session_ended(const struct nbd_session *session);
/* True once a handshake has chosen an export. */
bool nbd_session_transmitting(const struct nbd_session *session);
uint32_t nbd_session_in_flight(const struct nbd_session *session);
/* True when the client has sent the beginning of a message: in transmission, and nobody but it is waited for. */
bool nbd_session_awaits(const struct nbd_session *session);
/* Why it ended, for the log: "" while it has not, "disconnected by the client", "bad request magic", ... */
const char *nbd_session_reason(const struct nbd_session *session);

#endif
