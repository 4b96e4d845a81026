#include "daemon/nbd_work.h"

#include <stdlib.h>

#include "base/memory.h"
#include "base/span.h"
#include "disk/disk.h"
#include "nbd/session.h"

#define PIECE (32u * 1024u * 1024u) /* a disk is asked for at once: what a change in a pair costs grows with its length */
#define READ_AHEAD_MAX (1024u * 1024u * 1024u) /* of one CACHE; what is beyond is not worth what it would push out */

struct work {
	struct disk_request disk_request;
	struct nbd_works *works;
	struct disk *disk;
	struct nbd_request *request;
	struct list link;
	uint64_t at, end; /* still to be carried out */
};

static void work_submit(struct work *work, enum disk_operation operation, uint64_t length);

static enum disk_operation operation_of(const struct nbd_request *request)
{
	switch (request->command) {
	case NBD_READ: return DISK_READ;
	case NBD_WRITE: return DISK_WRITE;
	case NBD_FLUSH: return DISK_FLUSH;
	case NBD_TRIM: return DISK_TRIM;
	case NBD_WRITE_ZEROES: return request->no_hole ? DISK_ZERO : DISK_TRIM;
	case NBD_CACHE: return DISK_READ_AHEAD;
	case NBD_BLOCK_STATUS: return DISK_MAP;
	}
	return DISK_FLUSH;
}

/* A read is sparse when there is a hole in it. What is read then begins and ends with data; holes between are read, not sent. */
static void work_mapped(struct work *work, uint32_t count)
{
	struct nbd_request *request = work->request;
	uint64_t end = request->offset + request->length, at = request->offset;

	request->span_count = count;
	work->end = request->offset;
	if (request->command == NBD_BLOCK_STATUS)
		return;
	for (uint32_t i = 0; i < count; at += request->spans[i++].length) {
		if (request->spans[i].hole)
			continue;
		if (work->end == request->offset)
			work->at = at;
		work->end = at + request->spans[i].length;
	}
	if (at < end) { /* more is there than fits; for this one there is room (work_submit) */
		request->spans[request->span_count++] = (struct span){ .length = end - at };
		work->end = end;
	}
	if (request->span_count == 1 && !request->spans[0].hole)
		request->span_count = 0;
}

static void on_work_done(struct disk_request *disk_request, int result)
{
	struct work *work = disk_request->data;
	struct nbd_works *works = work->works;

	if (result < 0)
		work->request->failed_at = work->at;
	else if (disk_request->operation == DISK_MAP)
		work_mapped(work, disk_request->span_count);
	else
		work->at += disk_request->length;
	if (result == 0 && work->at < work->end && !works->abandoned) {
		work_submit(work, operation_of(work->request), work->end - work->at);
		return;
	}
	list_append(&works->idle, &work->link);
	works->on_done(works, work->request, result); /* which may be the end of all of them */
}

/* The first PIECE of what is left, but for a map. Forced is only the last: it takes along what was written before it. */
static void work_submit(struct work *work, enum disk_operation operation, uint64_t length)
{
	const struct nbd_request *request = work->request;
	uint64_t size = length < PIECE || operation == DISK_MAP ? length : PIECE;

	work->disk_request = (struct disk_request){
		.operation = operation, .fast = request->fast,
		.force_unit_access = request->force_unit_access && size == length,
		.offset = work->at, .length = size, .on_done = on_work_done, .data = work,
	};
	if (operation == DISK_MAP) {
		work->disk_request.buffer = request->spans;
		work->disk_request.span_count = request->one ? 1 : request->command == NBD_READ ? NBD_SPANS_MAX - 1 : NBD_SPANS_MAX;
	} else if (request->buffer != NULL) {
		work->disk_request.buffer = request->buffer + (work->at - request->offset);
	}
	disk_submit(work->disk, &work->disk_request);
}

void nbd_works_submit(struct nbd_works *works, struct disk *disk, struct nbd_request *request)
{
	struct list *link = list_pop(&works->idle);
	struct work *work = link == NULL ? memory_new(1, sizeof *work) : container_of(link, struct work, link);
	uint64_t length = request->length;

	if (request->command == NBD_CACHE && length > READ_AHEAD_MAX)
		length = READ_AHEAD_MAX;
	list_init(&work->link);
	work->works = works;
	work->disk = disk;
	work->request = request;
	work->at = request->offset;
	work->end = request->offset + length;
	work_submit(work, request->spans != NULL ? DISK_MAP : operation_of(request), length);
}

void nbd_works_init(struct nbd_works *works,
		    void (*on_done)(struct nbd_works *works, struct nbd_request *request, int result))
{
	*works = (struct nbd_works){ .on_done = on_done };
	list_init(&works->idle);
}

void nbd_works_fini(struct nbd_works *works)
{
	list_for_each(link, &works->idle)
		free(container_of(link, struct work, link));
}
