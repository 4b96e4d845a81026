/* What a request is answered with: simple replies, structured and extended chunks ("Transmission"). */
#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "nbd/internal.h"
#include "nbd/meta.h"

static void reply_simple(struct pending *pending, uint32_t error)
{
	put_be32(pending->reply, NBD_SIMPLE_REPLY_MAGIC);
	put_be32(pending->reply + 4, error);
	put_be64(pending->reply + 8, pending->cookie);
	pending->reply_size = NBD_SIMPLE_REPLY_SIZE;
}

/* Writes the header of a chunk; gives its size. `size` bytes follow it. */
static size_t put_chunk(const struct nbd_session *session, const struct pending *pending, uint8_t *at, uint16_t flags,
			uint16_t type, size_t size)
{
	put_be32(at, session->extended ? NBD_EXTENDED_CHUNK_MAGIC : NBD_CHUNK_MAGIC);
	put_be16(at + 4, flags);
	put_be16(at + 6, type);
	put_be64(at + 8, pending->cookie);
	if (!session->extended) {
		put_be32(at + 16, (uint32_t)size);
		return NBD_CHUNK_SIZE;
	}
	put_be64(at + 16, pending->request.offset);
	put_be64(at + 24, size);
	return NBD_EXTENDED_CHUNK_SIZE;
}

/* The whole reply is one chunk; gives where its `own` bytes go, which the payload follows. */
static uint8_t *reply_chunk(const struct nbd_session *session, struct pending *pending, uint16_t type, size_t own)
{
	size_t size = put_chunk(session, pending, pending->reply, NBD_CHUNK_FLAG_DONE, type, own + pending->payload_size);

	assert(size + own <= sizeof pending->reply);
	pending->reply_size = size + own;
	return pending->reply + size;
}

/* "NBD_REPLY_TYPE_ERROR", "NBD_REPLY_TYPE_ERROR_OFFSET": number, length of a message, message, and where it happened. */
static void reply_error(const struct nbd_session *session, struct pending *pending, struct refusal refusal)
{
	bool has_place = pending->request.failed_at != pending->request.offset;
	size_t size = strnlen(refusal.why, MESSAGE_MAX);
	uint8_t *own = reply_chunk(session, pending, has_place ? NBD_CHUNK_ERROR_OFFSET : NBD_CHUNK_ERROR,
				   6 + size + (has_place ? 8 : 0));

	put_be32(own, refusal.error);
	put_be16(own + 4, (uint16_t)size);
	memcpy(own + 6, refusal.why, size);
	if (has_place)
		put_be64(own + 6 + size, pending->request.failed_at);
}

/* A chunk for each span. Nothing is left of the buffer when all is a hole. */
static void reply_sparse(struct nbd_session *session, struct pending *pending)
{
	const struct nbd_request *request = &pending->request;
	uint64_t offset = request->offset;
	bool has_data = false;

	for (uint32_t i = 0; i < request->span_count; i++) {
		const struct span *span = &request->spans[i];
		struct chunk *chunk = &pending->map->chunks[i];
		uint16_t flags = i + 1 == request->span_count ? NBD_CHUNK_FLAG_DONE : 0;
		uint16_t type = span->hole ? NBD_CHUNK_OFFSET_HOLE : NBD_CHUNK_OFFSET_DATA;
		size_t own = span->hole ? 12 : 8, size;

		chunk->size = span->hole ? 0 : (uint32_t)span->length;
		chunk->bytes = request->buffer + (offset - request->offset);
		size = put_chunk(session, pending, chunk->header, flags, type, own + chunk->size);
		put_be64(chunk->header + size, offset);
		if (span->hole)
			put_be32(chunk->header + size + 8, (uint32_t)span->length);
		chunk->header_size = (uint8_t)(size + own);
		pending->total += chunk->header_size + chunk->size;
		offset += span->length;
		has_data = has_data || !span->hole;
	}
	assert(offset == request->offset + request->length);
	pending->chunk_count = request->span_count;
	if (!has_data)
		transmission_give_buffer(session, pending);
}

static void reply_data(struct nbd_session *session, struct pending *pending)
{
	if (pending->request.span_count > 0) {
		reply_sparse(session, pending);
		return;
	}
	pending->payload = pending->request.buffer;
	pending->payload_size = pending->request.length;
	if (session->structured)
		put_be64(reply_chunk(session, pending, NBD_CHUNK_OFFSET_DATA, 8), pending->request.offset);
	else
		reply_simple(pending, NBD_SUCCESS);
}

/* "NBD_REPLY_TYPE_BLOCK_STATUS" and ..._EXT: a length and flags an span, written over the spans themselves, none of which
 * is shorter. */
static void reply_status(const struct nbd_session *session, struct pending *pending)
{
	const struct nbd_request *request = &pending->request;
	size_t each = session->extended ? 16 : 8;
	uint8_t *at = (uint8_t *)pending->map->spans, *own;

	static_assert(sizeof(struct span) >= 16, "a descriptor fits into the place of its span");
	assert(request->span_count > 0);
	pending->payload = at;
	pending->payload_size = each * request->span_count;
	for (uint32_t i = 0; i < request->span_count; i++, at += each) {
		struct span span = request->spans[i];
		uint32_t state = span.hole ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0;

		if (session->extended) {
			put_be64(at, span.length);
			put_be64(at + 8, state);
		} else {
			put_be32(at, (uint32_t)span.length);
			put_be32(at + 4, state);
		}
	}
	own = reply_chunk(session, pending, session->extended ? NBD_CHUNK_BLOCK_STATUS_EXT : NBD_CHUNK_BLOCK_STATUS,
			  session->extended ? 8 : 4);
	put_be32(own, META_ALLOCATION_ID);
	if (session->extended)
		put_be32(own + 4, request->span_count);
}

static void reply_success(struct nbd_session *session, struct pending *pending)
{
	if (pending->request.command == NBD_READ)
		reply_data(session, pending);
	else if (pending->request.command == NBD_BLOCK_STATUS)
		reply_status(session, pending);
	else if (session->extended)
		reply_chunk(session, pending, NBD_CHUNK_NONE, 0);
	else
		reply_simple(pending, NBD_SUCCESS);
}

/* With extended headers all replies are chunks. With structured ones those are that have a payload, as the protocol demands,
 * and errors, which then say why. */
void reply_send(struct nbd_session *session, struct pending *pending, struct refusal refusal)
{
	if (session->abandoned) {
		transmission_recycle(session, pending);
		return;
	}
	if (refusal.error != NBD_SUCCESS || pending->request.command != NBD_READ)
		transmission_give_buffer(session, pending); /* not needed while the reply waits to be sent */
	if (refusal.error == NBD_SUCCESS)
		reply_success(session, pending);
	else if (session->structured)
		reply_error(session, pending, refusal);
	else
		reply_simple(pending, refusal.error);
	pending->total += pending->reply_size + pending->payload_size;
	list_append(&session->output, &pending->link);
	session->ops->wake(session->host);
}
