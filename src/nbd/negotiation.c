/* "Fixed newstyle negotiation": greeting, client flags, then options until one chooses an export. */
#include <string.h>

#include "base/bytes.h"
#include "nbd/internal.h"
#include "nbd/meta.h"

#define OPTION_HEADER_SIZE 16u
#define INFO_KINDS_MAX 64u
#define BLOCK_SIZE_PREFERRED 4096u

void negotiation_greet(struct nbd_session *session)
{
	uint8_t greeting[18];

	put_be64(greeting, NBD_MAGIC);
	put_be64(greeting + 8, NBD_OPTION_MAGIC);
	put_be16(greeting + 16, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	session_say(session, greeting, sizeof greeting);
}

/* `size` bytes of data follow, said by the caller. */
static void reply_begin(struct nbd_session *session, uint32_t type, size_t size)
{
	uint8_t header[20];

	put_be64(header, NBD_OPTION_REPLY_MAGIC);
	put_be32(header + 8, session->option);
	put_be32(header + 12, type);
	put_be32(header + 16, (uint32_t)size);
	session_say(session, header, sizeof header);
}

static void reply(struct nbd_session *session, uint32_t type, const void *data, size_t size)
{
	reply_begin(session, type, size);
	session_say(session, data, size);
}

static void reply_ack(struct nbd_session *session)
{
	reply_begin(session, NBD_REP_ACK, 0);
}

static void refuse(struct nbd_session *session, uint32_t type, const char *sentence)
{
	reply(session, type, sentence, strlen(sentence));
}

/* "Transmission flags". A flush on one connection covers the writes of all: the disk is one. */
static uint16_t transmission_flags(const struct nbd_session *session, const struct nbd_export *export)
{
	unsigned flags = NBD_FLAG_HAS_FLAGS | NBD_FLAG_SEND_FLUSH | NBD_FLAG_SEND_FUA | NBD_FLAG_CAN_MULTI_CONN |
			 NBD_FLAG_SEND_CACHE;

	if (export->read_only)
		flags |= NBD_FLAG_READ_ONLY;
	else
		flags |= NBD_FLAG_SEND_TRIM | NBD_FLAG_SEND_WRITE_ZEROES | NBD_FLAG_SEND_FAST_ZERO;
	if (export->rotational)
		flags |= NBD_FLAG_ROTATIONAL;
	if (session->structured)
		flags |= NBD_FLAG_SEND_DF;
	return (uint16_t)flags;
}

/* The export's name as text; false when it cannot be the name of an export of ours. */
static bool name_of(const uint8_t *bytes, size_t size, char *out, size_t room)
{
	if (size >= room || memchr(bytes, 0, size) != NULL)
		return false;
	memcpy(out, bytes, size);
	out[size] = 0;
	return true;
}

/* The export of that name. Of one that is elsewhere the caller says nothing: the option will be taken up again, whole. */
static enum nbd_found find(struct nbd_session *session, const uint8_t *name, size_t size, struct nbd_export *out_export)
{
	char text[sizeof session->export.name];
	enum nbd_found found = NBD_NOT_FOUND;

	if (name_of(name, size, text, sizeof text))
		found = session->ops->find(session->host, text, out_export);
	if (found == NBD_ELSEWHERE)
		session->state = SESSION_ELSEWHERE;
	return found;
}

static bool enter(struct nbd_session *session, const struct nbd_export *export)
{
	if (!session->ops->open(session->host, export))
		return false;
	session->export = *export;
	session->chosen = true;
	session->has_allocation = session->mapped[0] != 0 && strcmp(session->mapped, export->name) == 0;
	session->state = SESSION_REQUEST;
	return true;
}

/* "NBD_OPT_EXPORT_NAME": no error can be said, so the session ends when there is no such export. Nor may it be used with
 * extended headers. */
static void on_export_name(struct nbd_session *session, const uint8_t *data, uint32_t size)
{
	uint8_t answer[134] = { 0 };
	struct nbd_export export;
	enum nbd_found found;

	if (session->extended) {
		session_end(session, "chose an export by its name alone after extended headers");
		return;
	}
	found = find(session, data, size, &export);
	if (found == NBD_ELSEWHERE)
		return;
	if (found == NBD_NOT_FOUND) {
		session_end(session, "asked for an export that does not exist");
		return;
	}
	if (!enter(session, &export)) {
		session_end(session, "refused by this server");
		return;
	}
	put_be64(answer, export.size);
	put_be16(answer + 8, transmission_flags(session, &export));
	session_say(session, answer, session->no_zeroes ? 10 : sizeof answer);
}

static void on_list(struct nbd_session *session, uint32_t size)
{
	struct nbd_export export;
	uint32_t place = 0;

	if (size != 0) {
		refuse(session, NBD_REP_ERR_INVALID, "the list option has no data");
		return;
	}
	while (session->ops->list(session->host, &place, &export)) {
		size_t name_size = strlen(export.name), text_size = strlen(export.description);
		uint8_t length[4];

		put_be32(length, (uint32_t)name_size);
		reply_begin(session, NBD_REP_SERVER, sizeof length + name_size + text_size);
		session_say(session, length, sizeof length);
		session_say(session, export.name, name_size);
		session_say(session, export.description, text_size);
	}
	reply_ack(session);
}

static void say_info(struct nbd_session *session, uint16_t kind, const struct nbd_export *export)
{
	uint8_t info[14];

	put_be16(info, kind);
	if (kind == NBD_INFO_EXPORT) {
		put_be64(info + 2, export->size);
		put_be16(info + 10, transmission_flags(session, export));
		reply(session, NBD_REP_INFO, info, 12);
	} else if (kind == NBD_INFO_BLOCK_SIZE) {
		put_be32(info + 2, 1);
		put_be32(info + 6, BLOCK_SIZE_PREFERRED);
		put_be32(info + 10, NBD_PAYLOAD_MAX);
		reply(session, NBD_REP_INFO, info, 14);
	} else if (kind == NBD_INFO_NAME || kind == NBD_INFO_DESCRIPTION) {
		const char *text = kind == NBD_INFO_NAME ? export->name : export->description;

		reply_begin(session, NBD_REP_INFO, 2 + strlen(text));
		session_say(session, info, 2);
		session_say(session, text, strlen(text));
	}
}

/* "NBD_OPT_INFO and NBD_OPT_GO": length of the name, name, count, that many kinds of information. */
struct info_request {
	const uint8_t *name;
	uint32_t name_size;
	const uint8_t *kinds; /* two bytes each */
	uint16_t kind_count;
};

static bool info_parse(const uint8_t *data, uint32_t size, struct info_request *out_request)
{
	if (size < 6 || get_be32(data) > size - 6)
		return false;
	out_request->name = data + 4;
	out_request->name_size = get_be32(data);
	out_request->kinds = data + 6 + out_request->name_size;
	out_request->kind_count = get_be16(data + 4 + out_request->name_size);
	return size == 6 + out_request->name_size + 2u * out_request->kind_count;
}

static void on_info(struct nbd_session *session, const uint8_t *data, uint32_t size, bool go)
{
	struct info_request request;
	struct nbd_export export;
	enum nbd_found found;

	if (!info_parse(data, size, &request)) {
		refuse(session, NBD_REP_ERR_INVALID, "the option's lengths do not fit together");
		return;
	}
	if (request.kind_count > INFO_KINDS_MAX) {
		refuse(session, NBD_REP_ERR_TOO_BIG, "too many kinds of information asked for");
		return;
	}
	found = find(session, request.name, request.name_size, &export);
	if (found == NBD_ELSEWHERE)
		return;
	if (found == NBD_NOT_FOUND) {
		refuse(session, NBD_REP_ERR_UNKNOWN, "there is no such export: attach the disk first");
		return;
	}
	if (go && !enter(session, &export)) {
		refuse(session, NBD_REP_ERR_SHUTDOWN, "the disk is being detached, or this server is stopping");
		return;
	}
	say_info(session, NBD_INFO_EXPORT, &export); /* always, asked for or not */
	for (uint16_t i = 0; i < request.kind_count; i++) {
		uint16_t kind = get_be16(request.kinds + 2u * i);

		if (kind != NBD_INFO_EXPORT)
			say_info(session, kind, &export);
	}
	reply_ack(session);
}

static void on_structured_reply(struct nbd_session *session, uint32_t size)
{
	if (size != 0) {
		refuse(session, NBD_REP_ERR_INVALID, "the structured reply option has no data");
		return;
	}
	if (session->extended) {
		refuse(session, NBD_REP_ERR_EXT_HEADER_REQD, "extended headers have been negotiated");
		return;
	}
	session->structured = true;
	reply_ack(session);
}

static void on_extended_headers(struct nbd_session *session, uint32_t size)
{
	if (size != 0 || session->extended) {
		refuse(session, NBD_REP_ERR_INVALID, size != 0 ? "the extended headers option has no data" :
		       "extended headers have been negotiated");
		return;
	}
	session->structured = session->extended = true;
	reply_ack(session);
}

/* "NBD_OPT_LIST_META_CONTEXT", "NBD_OPT_SET_META_CONTEXT". A set that fails leaves nothing chosen. */
static void on_meta_context(struct nbd_session *session, const uint8_t *data, uint32_t size, bool set)
{
	static const char context[] = META_ALLOCATION;
	struct meta_request request;
	struct nbd_export export;
	enum nbd_found found;
	uint8_t id[4];

	if (set)
		session->mapped[0] = 0;
	if (!session->structured) {
		refuse(session, NBD_REP_ERR_INVALID, "metadata contexts need structured replies");
		return;
	}
	if (!meta_parse(data, size, set, &request)) {
		refuse(session, NBD_REP_ERR_INVALID, "the option's lengths do not fit together, or a query has no namespace");
		return;
	}
	found = find(session, request.name, request.name_size, &export);
	if (found == NBD_ELSEWHERE)
		return;
	if (found == NBD_NOT_FOUND) {
		refuse(session, NBD_REP_ERR_UNKNOWN, "there is no such export: attach the disk first");
		return;
	}
	if (request.allocation) {
		put_be32(id, set ? META_ALLOCATION_ID : 0);
		reply_begin(session, NBD_REP_META_CONTEXT, sizeof id + sizeof context - 1);
		session_say(session, id, sizeof id);
		session_say(session, context, sizeof context - 1);
		if (set)
			memcpy(session->mapped, export.name, sizeof session->mapped);
	}
	reply_ack(session);
}

void negotiation_reply(struct nbd_session *session, uint32_t type, const char *sentence)
{
	refuse(session, type, sentence);
}

/* One whole option. Whatever it is, the next is awaited, unless it chose an export or ended the session. */
static void on_option(struct nbd_session *session, const uint8_t *data, uint32_t size)
{
	session->state = SESSION_OPTION;
	if (!starttls_permits(session))
		return;
	switch (session->option) {
	case NBD_OPT_EXPORT_NAME:
		on_export_name(session, data, size);
		break;
	case NBD_OPT_ABORT:
		reply_ack(session);
		session_end(session, "aborted by the client");
		break;
	case NBD_OPT_LIST:
		on_list(session, size);
		break;
	case NBD_OPT_INFO:
	case NBD_OPT_GO:
		on_info(session, data, size, session->option == NBD_OPT_GO);
		break;
	case NBD_OPT_STRUCTURED_REPLY:
		on_structured_reply(session, size);
		break;
	case NBD_OPT_EXTENDED_HEADERS:
		on_extended_headers(session, size);
		break;
	case NBD_OPT_LIST_META_CONTEXT:
	case NBD_OPT_SET_META_CONTEXT:
		on_meta_context(session, data, size, session->option == NBD_OPT_SET_META_CONTEXT);
		break;
	case NBD_OPT_STARTTLS:
		starttls_begin(session, size);
		break;
	default: /* what is not known yet */
		refuse(session, NBD_REP_ERR_UNSUP, "this server does not offer that option");
		break;
	}
}

bool negotiate_client_flags(struct nbd_session *session)
{
	uint32_t flags;

	if (session_available(session) < 4)
		return false;
	flags = get_be32(session_bytes(session));
	session->taken += 4;
	if ((flags & ~(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES)) != 0) {
		session_end(session, "unknown client flags");
		return false;
	}
	session->no_zeroes = (flags & NBD_FLAG_NO_ZEROES) != 0;
	session->state = SESSION_OPTION;
	return true;
}

/* A long option is passed over and refused; a very long one is refused and ends the session. */
static bool option_is_too_long(struct nbd_session *session)
{
	if (session->option_size <= OPTION_SIZE_MAX)
		return false;
	if (session->option == NBD_OPT_EXPORT_NAME) { /* nothing can be answered to this one */
		session_end(session, "the name of an export is too long");
	} else if (session->option_size > OPTION_SKIP_MAX) {
		refuse(session, NBD_REP_ERR_TOO_BIG, "the option is too long");
		session_end(session, "an option is too long");
	} else {
		session->option_skip = session->option_size;
		session->state = SESSION_OPTION_SKIP;
	}
	return true;
}

bool negotiate_option(struct nbd_session *session)
{
	const uint8_t *bytes = session_bytes(session);

	if (session_available(session) < OPTION_HEADER_SIZE)
		return false;
	if (get_be64(bytes) != NBD_OPTION_MAGIC) {
		session_end(session, "bad option magic");
		return false;
	}
	if (++session->options > OPTIONS_MAX) {
		session_end(session, "too many options");
		return false;
	}
	session->option = get_be32(bytes + 8);
	session->option_size = get_be32(bytes + 12);
	session->taken += OPTION_HEADER_SIZE;
	if (!option_is_too_long(session))
		session->state = SESSION_OPTION_DATA;
	return true;
}

bool negotiate_option_data(struct nbd_session *session)
{
	const uint8_t *data = session_bytes(session);

	if (session_available(session) < session->option_size)
		return false;
	session->taken += session->option_size;
	on_option(session, data, session->option_size);
	if (session->state == SESSION_ELSEWHERE)
		session->taken -= session->option_size;
	return true;
}

bool negotiate_option_skip(struct nbd_session *session)
{
	size_t available = session_available(session);
	uint32_t size = available < session->option_skip ? (uint32_t)available : session->option_skip;

	session->taken += size;
	session->option_skip -= size;
	if (session->option_skip > 0)
		return false;
	session->state = SESSION_OPTION;
	if (starttls_permits(session))
		refuse(session, NBD_REP_ERR_TOO_BIG, "the option is too long");
	return true;
}
