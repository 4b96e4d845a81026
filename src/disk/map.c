/* Where data and holes are, for those who copy a disk or read much of it.
 *
 * What the back end calls a hole reads as zeros now. A write in flight may be there or not: its range counts as data, so that
 * nobody passes over what is about to be acknowledged. What waits for admission has not been written. Data is always a right
 * answer, a hole only where it is certain. */
#include "backend/backend.h"
#include "base/span.h"
#include "disk/internal.h"

#define LOOKS_MAX 128u /* at the file, and at the writes in flight, for one request */

struct range {
	uint64_t start, end;
};

/* The write in flight that begins first in the range, clipped to it; what is left at its end when there is none. */
static struct range first_write(const struct disk *disk, struct range range)
{
	struct range first = { range.end, range.end };

	list_for_each(link, &disk->writes) {
		const struct disk_request *write = container_of(link, struct disk_request, link);
		uint64_t start = write->offset > range.start ? write->offset : range.start;
		uint64_t end = write->offset + write->length < range.end ? write->offset + write->length : range.end;

		if (start < end && start < first.start)
			first = (struct range){ start, end };
	}
	return first;
}

/* The end of what begins at range->start and is of one kind. */
static uint64_t span_end(const struct disk *disk, const struct range *range, bool *out_hole)
{
	uint64_t start = range->start, end = range->end;
	struct range write;

	if (disk->backend->ops->next_data(disk->backend, range->start, &start, &end) < 0)
		start = range->start;
	*out_hole = start > range->start;
	if (!*out_hole)
		return end > start && end < range->end ? end : range->end;
	write = first_write(disk, (struct range){ range->start, start < range->end ? start : range->end });
	*out_hole = write.start > range->start;
	return *out_hole ? write.start : write.end;
}

void map_spans(const struct disk *disk, struct disk_request *request)
{
	struct range range = { request->offset, request->offset + request->length };
	struct span *spans = request->buffer;
	uint32_t count = 0;

	for (unsigned looks = 0; looks < LOOKS_MAX && range.start < range.end; looks++) {
		bool hole;
		uint64_t end = span_end(disk, &range, &hole);

		if (count > 0 && spans[count - 1].hole == hole)
			spans[count - 1].length += end - range.start;
		else if (count == request->span_count)
			break;
		else
			spans[count++] = (struct span){ .length = end - range.start, .hole = hole };
		range.start = end;
	}
	request->span_count = count;
}
