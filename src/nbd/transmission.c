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
	uint64_t cookie, offset, length;
	uint64_t payload; /* bytes that follow */
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
	[NBD_CMD_CACHE] = { NBD_CMD_FLAG_FUA, true, false, NBD_CACHE,
			    { NBD_EINVAL, "the range goes past the end of the export" } },
	[NBD_CMD_WRITE_ZEROES] = { NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_NO_HOLE | NBD_CMD_FLAG_FAST_ZERO, true, true, NBD_WRITE_ZEROES,
				   { NBD_ENOSPC, "the zeros go past the end of the export" } },
	[NBD_CMD_BLOCK_STATUS] = { NBD_CMD_FLAG_FUA | NBD_CMD_FLAG_REQ_ONE, true, false, NBD_BLOCK_STATUS,
				   { NBD_EINVAL, "the range goes past the end of the export" } },
};

static struct refusal refuse(uint32_t error, const char *why)
{
	return (struct refusal){ error, why };
}

static bool is_offered(uint16_t type)
{
	return type <= NBD_CMD_BLOCK_STATUS && type != NBD_CMD_DISC;
}

static bool has_buffer(uint16_t type)
{
	return type == NBD_CMD_READ || type == NBD_CMD_WRITE;
}

static struct refusal check_range(const struct nbd_session *session, const struct header *header)
{
	if (header->length == 0)
		return refuse(NBD_EINVAL, "the length is zero");
	if (has_buffer(header->type) && header->length > NBD_PAYLOAD_MAX)
		return refuse((header->flags & NBD_CMD_FLAG_DF) != 0 ? NBD_EOVERFLOW : NBD_EINVAL,
			      "the length is more than 32 MiB");
	if (header->offset > session->export.size || header->length > session->export.size - header->offset)
		return commands[header->type].past_end;
	return refuse(NBD_SUCCESS, "");
}

/* With extended headers a write says that its length is that of a payload, and nothing else may; without them nobody says so. */
static struct refusal check_payload_flag(const struct nbd_session *session, const struct header *header)
{
	bool set = (header->flags & NBD_CMD_FLAG_PAYLOAD_LEN) != 0;

	if (set && !session->extended)
		return refuse(NBD_EINVAL, "the flag PAYLOAD_LEN needs extended headers");
	if (set && header->type != NBD_CMD_WRITE)
		return refuse(NBD_EINVAL, "the command has no payload");
	if (!set && session->extended && header->type == NBD_CMD_WRITE)
		return refuse(NBD_EINVAL, "a write needs the flag PAYLOAD_LEN");
	return refuse(NBD_SUCCESS, "");
}

/* The one place where a request is refused; after it nothing is checked again. */
static struct refusal check_request(const struct nbd_session *session, const struct header *header)
{
	struct refusal refusal = check_payload_flag(session, header);
	const struct command *command;

	if (refusal.error != NBD_SUCCESS)
		return refusal;
	if (!is_offered(header->type))
		return refuse(NBD_EINVAL, "this server does not offer that command");
	command = &commands[header->type];
	if ((header->flags & ~command->flags & ~NBD_CMD_FLAG_PAYLOAD_LEN) != 0)
		return refuse(NBD_EINVAL, "the command does not have these flags");
	if (header->type == NBD_CMD_BLOCK_STATUS && !session->has_allocation)
		return refuse(NBD_EINVAL, "no metadata context was chosen for this export");
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
	pending->buffer_size = pending->chunk_count = 0;
	pending->map = NULL;
	pending->reply_size = pending->payload_size = pending->total = pending->sent = 0;
	pending->refusal = refuse(NBD_SUCCESS, "");
	session->held++;
	return pending;
}

static void session_release(struct nbd_session *session, uint64_t size)
{
	session->held_bytes -= size;
	if (size > 0)
		budget_give(session, size);
}

void transmission_give_buffer(struct nbd_session *session, struct pending *pending)
{
	buffers_give(&session->budget->buffers, pending->request.buffer, pending->buffer_size);
	session_release(session, pending->buffer_size);
	pending->request.buffer = NULL;
	pending->buffer_size = 0;
}

void transmission_recycle(struct nbd_session *session, struct pending *pending)
{
	transmission_give_buffer(session, pending);
	if (pending->map != NULL)
		session_release(session, sizeof *pending->map);
	buffers_give(&session->budget->buffers, (uint8_t *)pending->map, sizeof *pending->map);
	session->held--;
	list_append(&session->idle, &pending->link);
}

void nbd_session_done(struct nbd_session *session, struct nbd_request *request, int result)
{
	assert(session->in_flight > 0);
	session->in_flight--;
	reply_send(session, container_of(request, struct pending, request), failure_of(result));
	session_process(session);
}

/* --- receiving --- */

static void submit(struct nbd_session *session, struct pending *pending)
{
	session->in_flight++;
	session->ops->submit(session->host, &pending->request);
}

static void receive_payload(struct nbd_session *session, struct pending *pending, uint32_t size, enum session_state state)
{
	session->receiving = pending;
	session->expected = size;
	session->received = 0;
	session->state = state;
}

static bool may_be_sparse(const struct nbd_session *session, const struct header *header)
{
	return session->structured && header->type == NBD_CMD_READ && header->length >= SPARSE_MIN &&
	       (header->flags & NBD_CMD_FLAG_DF) == 0;
}

/* What a request needs until its reply has been sent. */
struct needs {
	uint32_t buffer, map; /* bytes */
};

static struct needs needs_of(const struct nbd_session *session, const struct header *header)
{
	bool map = header->type == NBD_CMD_BLOCK_STATUS || may_be_sparse(session, header);

	return (struct needs){ has_buffer(header->type) ? (uint32_t)header->length : 0, map ? sizeof(struct pending_map) : 0 };
}

/* Taken from the budget already. False when there is no memory. */
static bool pending_prepare(struct nbd_session *session, struct pending *pending, struct needs needs)
{
	if (needs.map > 0)
		pending->map = (struct pending_map *)(void *)buffers_take(&session->budget->buffers, needs.map);
	if (needs.buffer > 0)
		pending->request.buffer = buffers_take(&session->budget->buffers, needs.buffer);
	pending->request.spans = pending->map == NULL ? NULL : pending->map->spans;
	pending->buffer_size = pending->request.buffer == NULL ? 0 : needs.buffer;
	session->held_bytes += needs.buffer + needs.map;
	session_release(session, (needs.buffer - pending->buffer_size) + (pending->map == NULL ? needs.map : 0));
	return needs.buffer == pending->buffer_size && (needs.map == 0 || pending->map != NULL);
}

/* A refused request takes its place in the output too: what a client may leave unread is limited with the rest. */
static void begin_request(struct nbd_session *session, const struct header *header, struct refusal refusal, struct needs needs)
{
	struct pending *pending = pending_new(session);

	pending->cookie = header->cookie;
	pending->request = (struct nbd_request){
		.command = is_offered(header->type) ? commands[header->type].command : NBD_FLUSH,
		.force_unit_access = (header->flags & NBD_CMD_FLAG_FUA) != 0,
		.no_hole = (header->flags & NBD_CMD_FLAG_NO_HOLE) != 0,
		.fast = (header->flags & NBD_CMD_FLAG_FAST_ZERO) != 0,
		.one = (header->flags & NBD_CMD_FLAG_REQ_ONE) != 0,
		.offset = header->offset, .length = header->length, .disk = session->export.disk,
		.failed_at = header->offset,
	};
	if (refusal.error == NBD_SUCCESS && !pending_prepare(session, pending, needs))
		refusal = failure_of(-ENOMEM);
	pending->refusal = refusal;
	if (header->payload > 0)
		receive_payload(session, pending, (uint32_t)header->payload,
				refusal.error == NBD_SUCCESS ? SESSION_PAYLOAD : SESSION_PAYLOAD_SKIP);
	else if (refusal.error != NBD_SUCCESS)
		reply_send(session, pending, refusal);
	else
		submit(session, pending);
}

static struct header header_decode(const struct nbd_session *session, const uint8_t *bytes)
{
	struct header header = {
		.flags = get_be16(bytes + 4), .type = get_be16(bytes + 6), .cookie = get_be64(bytes + 8),
		.offset = get_be64(bytes + 16), .length = session->extended ? get_be64(bytes + 24) : get_be32(bytes + 24),
	};

	if (session->extended ? (header.flags & NBD_CMD_FLAG_PAYLOAD_LEN) != 0 : header.type == NBD_CMD_WRITE)
		header.payload = header.length;
	return header;
}

bool transmit_request(struct nbd_session *session)
{
	const uint8_t *bytes = session_bytes(session);
	size_t size = session->extended ? NBD_EXTENDED_REQUEST_SIZE : NBD_REQUEST_SIZE;
	struct needs needs = { 0, 0 };
	struct refusal refusal;
	struct header header;

	if (session_available(session) < size)
		return false;
	if (get_be32(bytes) != (session->extended ? NBD_EXTENDED_REQUEST_MAGIC : NBD_REQUEST_MAGIC)) {
		session_end(session, "bad request magic");
		return false;
	}
	header = header_decode(session, bytes);
	if (header.type == NBD_CMD_DISC) {
		session_end(session, "disconnected by the client");
		return false;
	}
	if (header.payload > (session->extended ? NBD_PAYLOAD_MAX : WRITE_SKIP_MAX)) {
		session_end(session, session->extended ? "a payload of more than 32 MiB" : "a write of more than 64 MiB");
		return false;
	}
	refusal = check_request(session, &header);
	if (refusal.error == NBD_SUCCESS)
		needs = needs_of(session, &header);
	if (needs.buffer + needs.map > 0 && !budget_take(session, needs.buffer + needs.map))
		return false; /* looked at again when its turn has come */
	session->taken += size;
	begin_request(session, &header, refusal, needs);
	return true;
}

void transmission_received(struct nbd_session *session, uint32_t size)
{
	struct pending *pending = session->receiving;
	enum session_state state = session->state;

	assert(size <= session->expected - session->received);
	session->received += size;
	if (session->received < session->expected)
		return;
	session->receiving = NULL;
	session->state = SESSION_REQUEST;
	if (state == SESSION_PAYLOAD)
		submit(session, pending);
	else
		reply_send(session, pending, pending->refusal);
}

/* Unread input that is part of the payload. */
static uint32_t payload_available(const struct nbd_session *session)
{
	uint32_t left = session->expected - session->received;
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
