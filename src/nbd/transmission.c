/* "Transmission": requests are checked once, in check_request, and carried out by the host; replies go out in any order. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "nbd/internal.h"

struct header {
	uint16_t flags, type;
	uint64_t cookie, offset;
	uint32_t length;
};

/* What each command may carry, and what its range means ("Request types"). */
static const struct command {
	uint16_t flags;
	bool has_range, changes;
	enum nbd_command command;
	struct refusal past_end;
} commands[] = {
	[NBD_CMD_READ] = { NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_DF, true, false, NBD_READ,
			   { NBD_EINVAL, "the read goes past the end of the export" } },
	[NBD_CMD_WRITE] = { NBD_CMD_FLAG_FUA, true, true, NBD_WRITE,
			    { NBD_ENOSPC, "the write goes past the end of the export" } },
	[NBD_CMD_FLUSH] = { NBD_CMD_FLAG_FUA, false, false, NBD_FLUSH, { 0 } },
	[NBD_CMD_TRIM] = { NBD_CMD_FLAG_FUA, true, true, NBD_TRIM,
			   { NBD_EINVAL, "the trim goes past the end of the export" } },
	[NBD_CMD_WRITE_ZEROES] = { NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE, true, true, NBD_WRITE_ZEROES,
				   { NBD_ENOSPC, "the zeros go past the end of the export" } },
};

static struct refusal refuse(uint32_t error, const char *why)
{
	return (struct refusal){ error, why };
}

static bool is_offered(uint16_t type)
{
	return type <= NBD_CMD_WRITE_ZEROES && type != NBD_CMD_DISC && type != NBD_CMD_CACHE;
}

static struct refusal check_range(const struct nbd_session *session, const struct header *header)
{
	bool has_payload = header->type == NBD_CMD_READ || header->type == NBD_CMD_WRITE;

	if (header->length == 0)
		return refuse(NBD_EINVAL, "the length is zero");
	if (has_payload && header->length > NBD_PAYLOAD_MAX)
		return refuse((header->flags & NBD_CMD_FLAG_DF) != 0 ? NBD_EOVERFLOW : NBD_EINVAL,
			      "the length is more than 32 MiB");
	if (header->offset > session->export.size || header->length > session->export.size - header->offset)
		return commands[header->type].past_end;
	return refuse(NBD_SUCCESS, "");
}

/* The one place where a request is refused; after it nothing is checked again. */
static struct refusal check_request(const struct nbd_session *session, const struct header *header)
{
	const struct command *command;

	if (!is_offered(header->type))
		return refuse(NBD_EINVAL, "this server does not offer that command");
	command = &commands[header->type];
	if ((header->flags & ~command->flags) != 0)
		return refuse(NBD_EINVAL, "the command does not have these flags");
	if ((header->flags & NBD_CMD_FLAG_DF) != 0 && !session->structured)
		return refuse(NBD_EINVAL, "the flag DF needs structured replies");
	if (command->changes && session->export.read_only)
		return refuse(NBD_EPERM, "the export is read-only");
	if (command->has_range)
		return check_range(session, header);
	if (header->offset != 0 || header->length != 0)
		return refuse(NBD_EINVAL, "a flush has no range");
	return refuse(NBD_SUCCESS, "");
}

static struct refusal failure_of(int result)
{
	switch (-result) {
	case 0:
		return refuse(NBD_SUCCESS, "");
	case EPERM:
	case EROFS:
		return refuse(NBD_EPERM, "the disk does not take writes at this site now");
	case ENOMEM:
		return refuse(NBD_ENOMEM, "the server is out of memory");
	case EINVAL:
		return refuse(NBD_EINVAL, "the disk refused the request");
	case ENOSPC:
	case EDQUOT:
		return refuse(NBD_ENOSPC, "the server's storage is full");
	case EOPNOTSUPP:
		return refuse(NBD_ENOTSUP, "the disk cannot do that");
	case ESHUTDOWN:
		return refuse(NBD_ESHUTDOWN, "the server is stopping");
	default:
		return refuse(NBD_EIO, "the disk failed");
	}
}

/* --- requests held: from the first byte to the last byte of the reply --- */

static struct pending *pending_new(struct nbd_session *session)
{
	struct list *link = list_pop(&session->idle);
	struct pending *pending;

	if (link == NULL) {
		pending = memory_new(1, sizeof *pending);
		list_init(&pending->link);
	} else {
		pending = container_of(link, struct pending, link);
	}
	pending->buffer_size = 0;
	pending->reply_size = pending->payload_size = pending->sent = 0;
	pending->refusal = refuse(NBD_SUCCESS, "");
	session->held++;
	return pending;
}

static bool pending_take_buffer(struct nbd_session *session, struct pending *pending, uint32_t size)
{
	pending->request.buffer = buffers_take(&session->buffers, size);
	if (pending->request.buffer == NULL)
		return false;
	pending->buffer_size = size;
	session->held_bytes += size;
	return true;
}

static void pending_give_buffer(struct nbd_session *session, struct pending *pending)
{
	buffers_give(&session->buffers, pending->request.buffer, pending->buffer_size);
	session->held_bytes -= pending->buffer_size;
	pending->request.buffer = NULL;
	pending->buffer_size = 0;
}

void transmission_recycle(struct nbd_session *session, struct pending *pending)
{
	pending_give_buffer(session, pending);
	session->held--;
	list_append(&session->idle, &pending->link);
}

/* --- replies --- */

static void reply_simple(struct pending *pending, uint32_t error)
{
	put_be32(pending->reply, NBD_SIMPLE_REPLY_MAGIC);
	put_be32(pending->reply + 4, error);
	put_be64(pending->reply + 8, pending->cookie);
	pending->reply_size = NBD_SIMPLE_REPLY_SIZE;
}

/* A chunk is the whole reply: `size` bytes follow those that are in pending->reply now. */
static void reply_chunk(struct pending *pending, uint16_t type, size_t own, size_t payload)
{
	uint8_t *chunk = pending->reply;

	put_be32(chunk, NBD_CHUNK_MAGIC);
	put_be16(chunk + 4, NBD_CHUNK_FLAG_DONE);
	put_be16(chunk + 6, type);
	put_be64(chunk + 8, pending->cookie);
	put_be32(chunk + 16, (uint32_t)(own + payload));
	pending->reply_size = NBD_CHUNK_SIZE + own;
}

/* "NBD_REPLY_TYPE_ERROR": number, length of a message, message. */
static void reply_error(struct pending *pending, struct refusal refusal)
{
	uint8_t *own = pending->reply + NBD_CHUNK_SIZE;
	size_t size = strnlen(refusal.why, MESSAGE_MAX);

	put_be32(own, refusal.error);
	put_be16(own + 4, (uint16_t)size);
	memcpy(own + 6, refusal.why, size);
	reply_chunk(pending, NBD_CHUNK_ERROR, 6 + size, 0);
}

static void reply_data(struct pending *pending)
{
	put_be64(pending->reply + NBD_CHUNK_SIZE, pending->request.offset);
	reply_chunk(pending, NBD_CHUNK_OFFSET_DATA, 8, pending->payload_size);
}

/* Structured, where negotiated, for reads (where the protocol demands it) and for errors (which then say why). */
static void answer(struct nbd_session *session, struct pending *pending, struct refusal refusal)
{
	if (session->abandoned) {
		transmission_recycle(session, pending);
		return;
	}
	if (refusal.error == NBD_SUCCESS && pending->is_read)
		pending->payload_size = pending->request.length;
	else
		pending_give_buffer(session, pending); /* not needed while the reply waits to be sent */
	if (session->structured && refusal.error != NBD_SUCCESS)
		reply_error(pending, refusal);
	else if (session->structured && pending->is_read)
		reply_data(pending);
	else
		reply_simple(pending, refusal.error);
	list_append(&session->output, &pending->link);
	session->ops->wake(session->host);
}

void nbd_session_done(struct nbd_session *session, struct nbd_request *request, int result)
{
	assert(session->in_flight > 0);
	session->in_flight--;
	answer(session, container_of(request, struct pending, request), failure_of(result));
	session_process(session);
}

/* --- receiving --- */

static void submit(struct nbd_session *session, struct pending *pending)
{
	session->in_flight++;
	session->ops->submit(session->host, &pending->request);
}

static void receive_payload(struct nbd_session *session, struct pending *pending, enum session_state state)
{
	session->receiving = pending;
	session->received = 0;
	session->state = state;
}

/* A refused request takes its place in the output too: what a client may leave unread is limited with the rest. */
static void begin_request(struct nbd_session *session, const struct header *header, struct refusal refusal)
{
	struct pending *pending = pending_new(session);
	bool has_payload = header->type == NBD_CMD_READ || header->type == NBD_CMD_WRITE;

	pending->cookie = header->cookie;
	pending->is_read = header->type == NBD_CMD_READ;
	pending->request = (struct nbd_request){
		.command = is_offered(header->type) ? commands[header->type].command : NBD_FLUSH,
		.force_unit_access = (header->flags & NBD_CMD_FLAG_FUA) != 0,
		.no_hole = (header->flags & NBD_CMD_FLAG_NO_HOLE) != 0,
		.offset = header->offset, .length = header->length, .disk = session->export.disk,
	};
	if (refusal.error == NBD_SUCCESS && has_payload && !pending_take_buffer(session, pending, header->length))
		refusal = failure_of(-ENOMEM);
	pending->refusal = refusal;
	if (header->type == NBD_CMD_WRITE && header->length > 0)
		receive_payload(session, pending, refusal.error == NBD_SUCCESS ? SESSION_PAYLOAD : SESSION_PAYLOAD_SKIP);
	else if (refusal.error != NBD_SUCCESS)
		answer(session, pending, refusal);
	else
		submit(session, pending);
}

bool transmit_request(struct nbd_session *session)
{
	const uint8_t *bytes = session_bytes(session);
	struct header header;

	if (session_available(session) < NBD_REQUEST_SIZE)
		return false;
	if (get_be32(bytes) != NBD_REQUEST_MAGIC) {
		session_end(session, "bad request magic");
		return false;
	}
	header = (struct header){
		.flags = get_be16(bytes + 4), .type = get_be16(bytes + 6), .cookie = get_be64(bytes + 8),
		.offset = get_be64(bytes + 16), .length = get_be32(bytes + 24),
	};
	session->taken += NBD_REQUEST_SIZE;
	if (header.type == NBD_CMD_DISC) {
		session_end(session, "disconnected by the client");
		return false;
	}
	if (header.type == NBD_CMD_WRITE && header.length > WRITE_SKIP_MAX) {
		session_end(session, "a write of more than 64 MiB");
		return false;
	}
	begin_request(session, &header, check_request(session, &header));
	return true;
}

void transmission_received(struct nbd_session *session, uint32_t size)
{
	struct pending *pending = session->receiving;
	enum session_state state = session->state;

	assert(size <= pending->request.length - session->received);
	session->received += size;
	if (session->received < pending->request.length)
		return;
	session->receiving = NULL;
	session->state = SESSION_REQUEST;
	if (state == SESSION_PAYLOAD)
		submit(session, pending);
	else
		answer(session, pending, pending->refusal);
}

/* Unread input that is part of the payload. */
static uint32_t payload_available(const struct nbd_session *session)
{
	uint32_t left = session->receiving->request.length - session->received;
	size_t available = session_available(session);

	return available < left ? (uint32_t)available : left;
}

bool transmit_payload(struct nbd_session *session)
{
	uint32_t size = payload_available(session);

	if (size == 0)
		return false;
	memcpy(session->receiving->request.buffer + session->received, session_bytes(session), size);
	session->taken += size;
	transmission_received(session, size);
	return true;
}

/* A refused write is answered once its payload has passed by. */
bool transmit_payload_skip(struct nbd_session *session)
{
	uint32_t size = payload_available(session);

	if (size == 0)
		return false;
	session->taken += size;
	transmission_received(session, size);
	return true;
}
