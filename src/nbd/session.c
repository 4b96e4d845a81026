/* Bytes in and out. The states themselves are in negotiation.c, starttls.c and transmission.c.
 *
 * Bytes that the host holds do not move:
 *   1. While the host receives (wanted), no step consumes input: all that could be consumed was, before it was told where.
 *   2. While the host sends (showing), no option is looked at, so session.text stays where it is; replies that are queued
 *      meanwhile go behind those shown.
 * What a client that does not read its replies can make us hold is limited by nbd_session_want and the steps giving way. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/memory.h"
#include "nbd/internal.h"

struct nbd_session *nbd_session_new(const struct nbd_host *ops, void *host, struct nbd_budget *budget)
{
	struct nbd_session *session = memory_new(1, sizeof *session);

	session->ops = ops;
	session->host = host;
	session->budget = budget;
	session->reason = "";
	session->input = memory_resize(NULL, INPUT_SIZE, 1); /* not zeroed: an idle connection touches a page of it */
	list_init(&session->output);
	list_init(&session->idle);
	negotiation_greet(session);
	return session;
}

void nbd_session_free(struct nbd_session *session)
{
	assert(session->in_flight == 0);
	budget_leave(session);
	if (session->receiving != NULL)
		transmission_recycle(session, session->receiving);
	list_for_each(link, &session->output) {
		list_remove(link);
		transmission_recycle(session, container_of(link, struct pending, link));
	}
	assert(session->held == 0 && session->held_bytes == 0);
	list_for_each(link, &session->idle)
		free(container_of(link, struct pending, link));
	free(session->text);
	free(session->input);
	free(session);
}

/* The one writer of the end; the first reason is the one that counts. */
void session_end(struct nbd_session *session, const char *reason)
{
	if (session->state == SESSION_ENDED)
		return;
	session->state = SESSION_ENDED;
	budget_leave(session);
	session->reason = reason;
	session->ops->wake(session->host);
}

void nbd_session_abandon(struct nbd_session *session, const char *reason)
{
	session_end(session, reason);
	session->abandoned = true;
}

/* --- in --- */

static bool is_full(const struct nbd_session *session)
{
	return session->held >= HELD_MAX || session->held_bytes >= HELD_BYTES_MAX || session->turn.wanted > 0;
}

static bool has_much_to_say(const struct nbd_session *session)
{
	return session->showing || session->text_size - session->text_sent > TEXT_MAX;
}

/* A state whose step must not be taken now. */
static bool must_wait(const struct nbd_session *session)
{
	switch (session->state) {
	case SESSION_CLIENT_FLAGS:
	case SESSION_OPTION:
	case SESSION_OPTION_DATA:
	case SESSION_OPTION_SKIP:
		return has_much_to_say(session);
	case SESSION_REQUEST:
		return session->parked || is_full(session);
	case SESSION_PAYLOAD:
	case SESSION_PAYLOAD_SKIP:
		return false;
	case SESSION_ELSEWHERE:
	case SESSION_STARTTLS:
	case SESSION_ENDED:
	case SESSION_STATES:
		break;
	}
	return true;
}

void session_process(struct nbd_session *session)
{
	static session_step *const steps[SESSION_STATES] = {
		[SESSION_CLIENT_FLAGS] = negotiate_client_flags, [SESSION_OPTION] = negotiate_option,
		[SESSION_OPTION_DATA] = negotiate_option_data, [SESSION_OPTION_SKIP] = negotiate_option_skip,
		[SESSION_REQUEST] = transmit_request, [SESSION_PAYLOAD] = transmit_payload,
		[SESSION_PAYLOAD_SKIP] = transmit_payload_skip,
	};

	if (session->processing || session->wanted != NULL)
		return; /* the loop below goes on; or nothing is left to consume (1) */
	session->processing = true;
	while (!must_wait(session) && steps[session->state](session))
		;
	session->processing = false;
}

/* Where the next bytes go: into the request whose payload is long and next in line, else behind the unread input. */
static uint8_t *place_for_input(struct nbd_session *session, size_t *out_room)
{
	if (session->state == SESSION_PAYLOAD && session_available(session) == 0 &&
	    session->expected - session->received > DIRECT_MIN) {
		*out_room = session->expected - session->received;
		return session->receiving->request.buffer + session->received;
	}
	if (session->taken > 0) { /* what is left is part of a header, or waits */
		memmove(session->input, session_bytes(session), session_available(session));
		session->filled -= session->taken;
		session->taken = 0;
	}
	*out_room = INPUT_SIZE - session->filled;
	return session->input + session->filled;
}

uint8_t *nbd_session_want(struct nbd_session *session, size_t *out_room)
{
	assert(session->wanted == NULL);
	if (session->turn.granted > 0)
		session_process(session);
	if (must_wait(session))
		return NULL;
	session->wanted = place_for_input(session, out_room);
	assert(*out_room > 0);
	return session->wanted;
}

void nbd_session_input(struct nbd_session *session, size_t size)
{
	bool into_input = session->wanted == session->input + session->filled;

	assert(session->wanted != NULL);
	session->wanted = NULL;
	if (session->state == SESSION_ENDED)
		return;
	if (into_input) {
		session->filled += size;
		assert(session->filled <= INPUT_SIZE);
	} else {
		transmission_received(session, (uint32_t)size);
	}
	session_process(session);
}

/* --- out --- */

void session_say(struct nbd_session *session, const void *bytes, size_t size)
{
	assert(!session->showing); /* (2) */
	if (session->text_size + size > session->text_room) {
		session->text_room = 2 * (session->text_size + size);
		session->text = memory_resize(session->text, session->text_room, 1);
	}
	memcpy(session->text + session->text_size, bytes, size);
	session->text_size += size;
	session->ops->wake(session->host);
}

/* Shows what is left of one piece of a reply: 0 or 1 entries. *sent: bytes sent from this piece on; made less by the piece. */
static int show_piece(struct iovec *iov, size_t *sent, uint8_t *bytes, size_t size)
{
	size_t skipped = *sent < size ? *sent : size;

	*sent -= skipped;
	if (skipped == size)
		return 0;
	*iov = (struct iovec){ bytes + skipped, size - skipped };
	return 1;
}

/* As much as there is room for, which is two entries at least; *out_whole: that is all of the reply. */
static int show_pending(struct pending *pending, struct iovec *iov, int room, bool *out_whole)
{
	size_t sent = pending->sent;
	uint32_t next = 0;
	int count = show_piece(iov, &sent, pending->reply, pending->reply_size);

	count += show_piece(iov + count, &sent, pending->payload, pending->payload_size);
	for (; next < pending->chunk_count && count + 2 <= room; next++) {
		struct chunk *chunk = &pending->map->chunks[next];

		count += show_piece(iov + count, &sent, chunk->header, chunk->header_size);
		count += show_piece(iov + count, &sent, chunk->bytes, chunk->size);
	}
	*out_whole = next == pending->chunk_count;
	return count;
}

int nbd_session_output(struct nbd_session *session, struct iovec *iov, int max)
{
	bool whole = true;
	int count = 0;

	assert(!session->showing && max >= 3);
	if (session->abandoned)
		return 0;
	if (session->text_sent < session->text_size)
		iov[count++] = (struct iovec){ session->text + session->text_sent, session->text_size - session->text_sent };
	list_for_each(link, &session->output) {
		if (!whole || count + 2 > max)
			break;
		count += show_pending(container_of(link, struct pending, link), iov + count, max - count, &whole);
	}
	session->showing = count > 0;
	return count;
}

/* Takes what was sent off the text; gives the rest of `size`. */
static size_t text_sent(struct nbd_session *session, size_t size)
{
	size_t left = session->text_size - session->text_sent;
	size_t now = left < size ? left : size;

	session->text_sent += now;
	if (session->text_sent == session->text_size && session->text != NULL) {
		session->text_size = session->text_sent = session->text_room = 0;
		free(session->text);
		session->text = NULL;
	}
	return size - now;
}

void nbd_session_sent(struct nbd_session *session, size_t size)
{
	assert(session->showing);
	session->showing = false;
	size = text_sent(session, size);
	list_for_each(link, &session->output) {
		struct pending *pending = container_of(link, struct pending, link);
		size_t left = pending->total - pending->sent;

		if (size < left) {
			pending->sent += size;
			break;
		}
		size -= left;
		list_remove(link);
		transmission_recycle(session, pending);
	}
	session_process(session);
}

/* --- elsewhere --- */

void nbd_session_park(struct nbd_session *session)
{
	session->parked = true;
	budget_leave(session); /* the request it is for is looked at again */
}

bool nbd_session_is_parked(const struct nbd_session *session)
{
	return session->parked && session->held == 0 && session->text_size == 0;
}

/* Nothing of it is held outside, and it holds nothing of its budget. */
static bool is_detached(const struct nbd_session *session)
{
	bool shown = session->wanted != NULL || session->showing;

	return !shown && session->held == 0 && session->turn.wanted + session->turn.granted == 0;
}

void nbd_session_resume(struct nbd_session *session, struct nbd_budget *budget)
{
	assert(budget == session->budget || is_detached(session));
	session->budget = budget;
	session->parked = false;
	if (session->state == SESSION_ELSEWHERE)
		session->state = SESSION_OPTION_DATA;
	session_process(session);
}

/* --- what the host may know --- */

bool nbd_session_ended(const struct nbd_session *session)
{
	return session->state == SESSION_ENDED;
}

bool nbd_session_transmitting(const struct nbd_session *session)
{
	return session->chosen;
}

uint32_t nbd_session_in_flight(const struct nbd_session *session)
{
	return session->in_flight;
}

bool nbd_session_awaits(const struct nbd_session *session)
{
	return session->receiving != NULL ||
	       (session->state == SESSION_REQUEST && session_available(session) > 0 && !must_wait(session));
}

const char *nbd_session_reason(const struct nbd_session *session)
{
	return session->reason;
}
