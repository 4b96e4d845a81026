/* An NBD session fed with anything, in slices of any size, by a host that answers late and in any order.
 *
 * The input is a list of pieces: one byte says what happens, the bytes after it are for the session. Besides the sanitizers,
 * the host below checks what a disk relies on: ranges within the export, buffers of the right kind, limits. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "base/span.h"
#include "nbd/budget.h"
#include "nbd/session.h"

#define EXPORT_SIZE (1024u * 1024u)
#define HELD_MAX 128u

struct fuzz_host {
	struct nbd_session *session;
	struct nbd_request *held[HELD_MAX];
	uint32_t held_count;
	bool read_only;
	struct nbd_budget budgets[2]; /* of two shards */
	uint32_t shard;
	bool away;    /* exports are elsewhere */
	bool waiting; /* the session was told so */
	bool parked;
	uint32_t submitted; /* since then */
};

static enum nbd_found host_find(void *data, const char *name, struct nbd_export *out_export)
{
	struct fuzz_host *host = data;

	assert(strlen(name) < sizeof out_export->name && !host->waiting);
	if (name[0] == 'x')
		return NBD_NOT_FOUND;
	host->waiting = host->away;
	if (host->away)
		return NBD_ELSEWHERE;
	*out_export = (struct nbd_export){
		.name = "d", .description = "a disk", .size = EXPORT_SIZE, .read_only = host->read_only, .disk = host,
	};
	return NBD_FOUND;
}

static bool host_list(void *data, uint32_t *place, struct nbd_export *out_export)
{
	(void)data;
	*out_export = (struct nbd_export){ .name = "d", .description = "a disk" };
	return (*place)++ < 3;
}

static bool host_open(void *data, const struct nbd_export *chosen)
{
	assert(chosen->disk == data);
	return true;
}

static void host_submit(void *data, struct nbd_request *request)
{
	struct fuzz_host *host = data;
	bool has_payload = request->command == NBD_READ || request->command == NBD_WRITE;

	assert(request->disk == host && host->held_count < HELD_MAX);
	assert(request->command == NBD_FLUSH || (request->length > 0 && request->offset <= EXPORT_SIZE &&
						 request->length <= EXPORT_SIZE - request->offset));
	assert((request->buffer != NULL) == has_payload && (uintptr_t)request->buffer % 4096 == 0);
	assert(!host->read_only || request->command == NBD_READ || request->command == NBD_FLUSH ||
	       request->command == NBD_CACHE || request->command == NBD_BLOCK_STATUS);
	assert(request->command == NBD_READ || (request->spans != NULL) == (request->command == NBD_BLOCK_STATUS));
	assert(request->failed_at == request->offset && request->span_count == 0);
	assert(!host->waiting && (!host->parked || ++host->submitted <= 1)); /* the one whose payload was coming in */
	host->held[host->held_count++] = request;
	assert(nbd_session_in_flight(host->session) == host->held_count);
}

static void host_wake(void *data)
{
	(void)data;
}

static const struct nbd_host ops = {
	.find = host_find, .list = host_list, .open = host_open, .submit = host_submit, .wake = host_wake,
};

/* A list of spans as a host may give: it ends where the range does, or, of a status, before. */
static void map(struct nbd_request *request, uint32_t count)
{
	uint64_t left = request->length;

	count = request->one || count == 0 ? 1 : count % NBD_SPANS_MAX + 1;
	while (left > 0 && request->span_count < count) {
		bool last = request->span_count + 1 == count && request->command == NBD_READ;
		uint64_t size = last ? left : left / 3 + 1;

		request->spans[request->span_count] = (struct span){ .length = size, .hole = (size + count) % 2 == 0 };
		request->span_count++;
		left -= size;
	}
}

static void answer(struct fuzz_host *host, uint32_t index, int result)
{
	uint32_t choice = index;

	struct nbd_request *request;

	if (host->held_count == 0)
		return;
	index %= host->held_count;
	request = host->held[index];
	host->held[index] = host->held[--host->held_count];
	if (request->command == NBD_READ)
		memset(request->buffer, 0x5a, request->length);
	if (request->spans != NULL)
		map(request, choice);
	request->failed_at += choice % 2 == 0 ? 0 : request->length / 2;
	nbd_session_done(host->session, request, result);
}

/* Takes up to `most` bytes of what there is to send, reading each. */
static void take(struct fuzz_host *host, size_t most)
{
	static volatile uint8_t sum;
	struct iovec iov[6];
	int count = nbd_session_output(host->session, iov, 6);
	size_t sent = 0;

	for (int i = 0; i < count && sent < most; i++) {
		const uint8_t *bytes = iov[i].iov_base;
		size_t size = iov[i].iov_len < most - sent ? iov[i].iov_len : most - sent;

		assert(iov[i].iov_len > 0);
		for (size_t j = 0; j < size; j += 64)
			sum = (uint8_t)(sum + bytes[j]);
		sent += size;
	}
	if (count > 0)
		nbd_session_sent(host->session, sent);
}

/* Feeds one piece; what is not wanted is lost. */
static void feed(struct fuzz_host *host, const uint8_t *bytes, size_t size)
{
	size_t room, now;
	uint8_t *to;

	while (size > 0 && (to = nbd_session_want(host->session, &room)) != NULL) {
		now = size < room ? size : room;
		memcpy(to, bytes, now);
		bytes += now;
		size -= now;
		nbd_session_input(host->session, now);
		take(host, SIZE_MAX);
	}
}

static void park(struct fuzz_host *host)
{
	if (!host->parked)
		host->submitted = 0;
	host->parked = true;
	nbd_session_park(host->session);
}

/* In the other shard, where that may be. */
static void resume(struct fuzz_host *host)
{
	if (nbd_session_is_parked(host->session) || host->waiting) {
		assert(host->held_count == 0 && host->budgets[host->shard].used == 0);
		host->shard ^= 1;
	}
	host->parked = host->waiting = false;
	nbd_session_resume(host->session, &host->budgets[host->shard]);
}

/* Bytes that say what happens; those below are the size of a piece. */
enum { AWAY = 0xdc, BACK, PARK, RESUME, TAKE, ANSWER = 0xf0 };

/* Whether it was more than the size of a piece. */
static bool happen(struct fuzz_host *host, uint8_t what)
{
	if (what < AWAY)
		return false;
	if (what >= ANSWER)
		answer(host, what, what % 3 == 0 ? -EIO : 0);
	else if (what >= TAKE)
		take(host, (size_t)(what - TAKE + 1) * 7);
	else if (what == RESUME)
		resume(host);
	else if (what == PARK)
		park(host);
	else
		host->away = what == AWAY;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_host host = { .read_only = size > 0 && data[size - 1] == 'r' };

	nbd_budget_init(&host.budgets[0], NBD_REQUEST_BYTES_MAX);
	nbd_budget_init(&host.budgets[1], NBD_REQUEST_BYTES_MAX);
	host.session = nbd_session_new(&ops, &host, &host.budgets[0]);
	while (size > 0) {
		uint8_t what = *data++;
		size_t piece;

		size--;
		if (happen(&host, what))
			continue;
		piece = what == 0 || what > size ? size : what;
		feed(&host, data, piece);
		data += piece;
		size -= piece;
	}
	if (host.held_count % 2 == 1)
		nbd_session_abandon(host.session, "gone");
	while (host.held_count > 0)
		answer(&host, 0, 0);
	assert(nbd_session_in_flight(host.session) == 0);
	nbd_session_free(host.session);
	nbd_budget_fini(&host.budgets[0]);
	nbd_budget_fini(&host.budgets[1]);
	return 0;
}
