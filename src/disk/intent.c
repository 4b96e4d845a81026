#include "disk/intent.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/planted.h"
#include "disk/disk.h"

static const uint8_t intent_magic[4] = { 'O', 'F', 'S', 'I' };

#define VERSION 1u
#define HEADER_SIZE 64u
#define CHECKSUM_AT 40u
#define SIZE_AT 48u
#define WORDS_PER_PAGE (INTENT_PAGE_BITS / 64u)

struct intent_page {
	struct intent *intent;
	uint64_t index;
	uint64_t sequence; /* of the newest stable slot */
	bool changed;      /* `marked` differs from what the slot in flight, or the newest one, holds */
	bool writing;
	uint8_t *slot; /* INTENT_PAGE_SIZE bytes, made when first written */
	struct env_io io;
};

static uint64_t page_words(const struct intent *intent, uint64_t page)
{
	uint64_t all = bitmap_words(intent->extents);
	uint64_t first = page * WORDS_PER_PAGE;

	return all - first < WORDS_PER_PAGE ? all - first : WORDS_PER_PAGE;
}

static uint64_t slot_checksum(const uint8_t *slot)
{
	uint8_t header[HEADER_SIZE];

	memcpy(header, slot, HEADER_SIZE);
	put_le64(header + CHECKSUM_AT, 0);
	return hash_xxh3_pair(header, HEADER_SIZE, slot + HEADER_SIZE, INTENT_PAGE_SIZE - HEADER_SIZE);
}

static void slot_encode(const struct intent *intent, uint64_t page, uint64_t sequence, uint8_t *slot)
{
	const uint64_t *words = intent->marked + page * WORDS_PER_PAGE;

	memset(slot, 0, INTENT_PAGE_SIZE);
	memcpy(slot, intent_magic, sizeof intent_magic);
	put_le32(slot + 4, VERSION);
	put_le64(slot + 8, page);
	put_le64(slot + 16, sequence);
	memcpy(slot + 24, intent->lineage, INTENT_LINEAGE_SIZE);
	put_le64(slot + SIZE_AT, intent->size);
	for (uint64_t i = 0; i < page_words(intent, page); i++)
		put_le64(slot + HEADER_SIZE + 8 * i, words[i]);
	put_le64(slot + CHECKSUM_AT, slot_checksum(slot));
}

/* Sequence of a valid slot of this page and lineage, 0 of any other. */
static uint64_t slot_sequence(const struct intent *intent, uint64_t page, const uint8_t *slot)
{
	if (memcmp(slot, intent_magic, sizeof intent_magic) != 0 || get_le32(slot + 4) != VERSION ||
	    get_le64(slot + 8) != page || memcmp(slot + 24, intent->lineage, INTENT_LINEAGE_SIZE) != 0 ||
	    get_le64(slot + CHECKSUM_AT) != slot_checksum(slot))
		return 0;
	return get_le64(slot + 16);
}

/* From the extent in which the disk ended once, to its end. */
static void mark_beyond(uint64_t *bits, uint64_t old_size, uint64_t from, uint64_t end)
{
	uint64_t first = old_size / DISK_EXTENT_SIZE;

	first = first < from ? from : first;
	if (first < end)
		bitmap_set(bits, first, end - first);
}

static void page_decode(struct intent *intent, uint64_t page)
{
	uint64_t from = page * INTENT_PAGE_BITS, left = intent->extents - from, was;
	const uint8_t *slots = intent->buffer + page * 2 * INTENT_PAGE_SIZE;
	uint64_t first = slot_sequence(intent, page, slots);
	uint64_t second = slot_sequence(intent, page, slots + INTENT_PAGE_SIZE);
	const uint8_t *slot = second > first ? slots + INTENT_PAGE_SIZE : slots;
	uint64_t *words = intent->marked + page * WORDS_PER_PAGE;

	intent->pages[page].sequence = first > second ? first : second;
	for (uint64_t i = 0; i < page_words(intent, page); i++)
		words[i] = intent->pages[page].sequence > 0 ? get_le64(slot + HEADER_SIZE + 8 * i) : UINT64_MAX; /* I3 */
	was = get_le64(slot + SIZE_AT);
	if (was != 0 && was < intent->size && !PLANTED(GROWTH_FORGOTTEN))
		mark_beyond(intent->marked, was, from, from + (left < INTENT_PAGE_BITS ? left : INTENT_PAGE_BITS));
}

static void intent_ready(struct intent *intent, int result)
{
	free(intent->buffer);
	intent->buffer = NULL;
	if (result == 0) {
		uint64_t tail = bitmap_words(intent->extents) * 64 - intent->extents;

		if (tail > 0)
			bitmap_clear(intent->marked, intent->extents, tail);
		memcpy(intent->durable, intent->marked, bitmap_words(intent->extents) * sizeof(uint64_t));
		intent->marked_count = bitmap_count(intent->marked, 0, intent->extents);
	}
	intent->on_ready(intent->data, result);
}

static void on_stable(struct env_io *io, int result)
{
	intent_ready(io->data, result);
}

static void rewrite_ended(struct intent *intent)
{
	if (--intent->rewrites > 0)
		return;
	intent->io = (struct env_io){ .on_done = on_stable, .data = intent };
	if (intent->rewrite_result < 0)
		intent_ready(intent, intent->rewrite_result);
	else
		env_file_sync(intent->file, &intent->io);
}

static void on_rewritten(struct env_io *io, int result)
{
	struct intent_page *page = io->data;

	if (result < 0)
		page->intent->rewrite_result = result;
	rewrite_ended(page->intent);
}

/* What a killed process had written, and not synced or failed to sync, is read back from the cache and may still be lost with
 * the power. So the newest slot of each page is written again as it is, in its place, and synced: torn, it leaves the other. */
static void on_loaded(struct env_io *io, int result)
{
	struct intent *intent = io->data;

	if (result < 0) {
		intent_ready(intent, result);
		return;
	}
	intent->rewrites = 1;
	for (uint64_t index = 0; index < intent->page_count; index++) {
		struct intent_page *page = &intent->pages[index];
		uint64_t at;

		page_decode(intent, index);
		if (page->sequence == 0)
			continue; /* I3: all marked, whatever becomes of it */
		at = (index * 2 + (page->sequence & 1)) * INTENT_PAGE_SIZE;
		intent->rewrites++;
		page->io = (struct env_io){ .on_done = on_rewritten, .data = page };
		env_file_write(intent->file, &page->io, intent->buffer + at, INTENT_PAGE_SIZE, at);
	}
	rewrite_ended(intent);
}

static void on_made_written(struct env_io *io, int result)
{
	struct intent *intent = io->data;

	if (result < 0) {
		intent_ready(intent, result);
		return;
	}
	intent->io = (struct env_io){ .on_done = on_stable, .data = intent };
	env_file_sync(intent->file, &intent->io);
}

/* Both slots of every page are written: an older file's contents, of whatever lineage, are gone. */
static void intent_make(struct intent *intent, bool all)
{
	size_t size = intent->page_count * 2 * INTENT_PAGE_SIZE;
	int result;

	bitmap_clear(intent->marked, 0, bitmap_words(intent->extents) * 64);
	if (all)
		bitmap_set(intent->marked, 0, intent->extents);
	for (uint64_t page = 0; page < intent->page_count; page++) {
		uint8_t *slots = intent->buffer + page * 2 * INTENT_PAGE_SIZE;

		intent->pages[page].sequence = 2;
		slot_encode(intent, page, 2, slots);
		slot_encode(intent, page, 1, slots + INTENT_PAGE_SIZE);
	}
	result = env_file_resize(intent->file, size);
	intent->io = (struct env_io){ .on_done = on_made_written, .data = intent };
	if (result < 0) {
		intent->io.on_done = on_stable;
		env_defer(intent->env, &intent->io);
		return;
	}
	env_file_write(intent->file, &intent->io, intent->buffer, size, 0);
}

static void on_open_failed(struct env_io *io, int result)
{
	(void)result;
	intent_ready(io->data, -EIO);
}

void intent_start(struct intent *intent, struct env *env, const char *path, const uint8_t lineage[INTENT_LINEAGE_SIZE],
		  uint64_t size, enum intent_start how, void (*on_ready)(void *, int), void (*on_durable)(void *, int),
		  void *data)
{
	uint64_t extents = (size + DISK_EXTENT_SIZE - 1) / DISK_EXTENT_SIZE, file_size = 0;
	size_t words = bitmap_words(extents), bytes;

	*intent = (struct intent){
		.env = env, .size = size, .extents = extents, .on_ready = on_ready, .on_durable = on_durable, .data = data,
		.page_count = (extents + INTENT_PAGE_BITS - 1) / INTENT_PAGE_BITS,
	};
	memcpy(intent->lineage, lineage, INTENT_LINEAGE_SIZE);
	intent->marked = memory_new(words, sizeof(uint64_t));
	intent->durable = memory_new(words, sizeof(uint64_t));
	intent->pages = memory_new(intent->page_count, sizeof *intent->pages);
	for (uint64_t page = 0; page < intent->page_count; page++) {
		intent->pages[page].intent = intent;
		intent->pages[page].index = page;
	}
	bytes = intent->page_count * 2 * INTENT_PAGE_SIZE;
	intent->buffer = memory_new(1, bytes);
	intent->io = (struct env_io){ .on_done = on_open_failed, .data = intent };
	if (env_file_open(env, path, ENV_CREATE, &intent->file) < 0) {
		env_defer(env, &intent->io);
		return;
	}
	if (how == INTENT_LOAD && env_file_size(intent->file, &file_size) == 0 && file_size >= bytes) {
		intent->io.on_done = on_loaded;
		env_file_read(intent->file, &intent->io, intent->buffer, bytes, 0);
		return;
	}
	intent_make(intent, how != INTENT_NONE);
}

void intent_stop(struct intent *intent)
{
	assert(intent->writes_in_flight == 0);
	for (uint64_t page = 0; page < intent->page_count; page++)
		free(intent->pages[page].slot);
	free(intent->pages);
	free(intent->marked);
	free(intent->durable);
	env_file_close(intent->file);
	*intent = (struct intent){ 0 };
}

bool intent_is_durable(const struct intent *intent, uint64_t first, uint64_t last)
{
	return bitmap_next_clear(intent->durable, first, last + 1) == BITMAP_NONE;
}

static void page_write(struct intent_page *page);

static void page_fail(struct intent_page *page, int result)
{
	struct intent *intent = page->intent;

	page->writing = false;
	intent->writes_in_flight--;
	intent->on_durable(intent->data, result);
}

static void on_page_synced(struct env_io *io, int result)
{
	struct intent_page *page = io->data;
	struct intent *intent = page->intent;
	uint64_t *durable = intent->durable + page->index * WORDS_PER_PAGE;
	const uint64_t *marked = intent->marked + page->index * WORDS_PER_PAGE;

	if (result < 0) {
		page_fail(page, result);
		return;
	}
	page->sequence++;
	/* The slot written holds these bits; one taken away meanwhile is not durable in the sense of I1. */
	for (uint64_t i = 0; i < page_words(intent, page->index); i++)
		durable[i] = get_le64(page->slot + HEADER_SIZE + 8 * i) & marked[i];
	page->writing = false;
	intent->writes_in_flight--;
	if (page->changed)
		page_write(page);
	intent->on_durable(intent->data, 0);
}

static void on_page_written(struct env_io *io, int result)
{
	struct intent_page *page = io->data;

	if (result < 0) {
		page_fail(page, result);
		return;
	}
	page->io = (struct env_io){ .on_done = on_page_synced, .data = page };
	env_file_sync(page->intent->file, &page->io);
}

static void page_write(struct intent_page *page)
{
	struct intent *intent = page->intent;
	uint64_t *durable = intent->durable + page->index * WORDS_PER_PAGE;
	const uint64_t *marked = intent->marked + page->index * WORDS_PER_PAGE;
	uint64_t sequence = page->sequence + 1;
	uint64_t slot_index = page->index * 2 + (sequence & 1); /* I2: sequence 2 stands in the first slot */

	if (page->slot == NULL)
		page->slot = memory_new(1, INTENT_PAGE_SIZE);
	page->changed = false;
	page->writing = true;
	intent->writes_in_flight++;
	for (uint64_t i = 0; i < page_words(intent, page->index); i++)
		durable[i] &= marked[i]; /* I1: from here on a slot without the bit may be the newest */
	slot_encode(intent, page->index, sequence, page->slot);
	page->io = (struct env_io){ .on_done = on_page_written, .data = page };
	env_file_write(intent->file, &page->io, page->slot, INTENT_PAGE_SIZE, slot_index * INTENT_PAGE_SIZE);
}

void intent_mark(struct intent *intent, uint64_t first, uint64_t last)
{
	for (uint64_t extent = first; extent <= last; extent++) {
		if (!bitmap_test(intent->marked, extent)) {
			bitmap_set(intent->marked, extent, 1);
			intent->marked_count++;
			intent->pages[extent / INTENT_PAGE_BITS].changed = true;
		} else if (!bitmap_test(intent->durable, extent) && !intent->pages[extent / INTENT_PAGE_BITS].writing) {
			intent->pages[extent / INTENT_PAGE_BITS].changed = true;
		}
	}
	intent_write_changed(intent);
}

int intent_grow(struct intent *intent, uint64_t size)
{
	uint64_t extents = (size + DISK_EXTENT_SIZE - 1) / DISK_EXTENT_SIZE;
	uint64_t pages = (extents + INTENT_PAGE_BITS - 1) / INTENT_PAGE_BITS, words = bitmap_words(extents);
	uint64_t old_pages = intent->page_count, old_words = bitmap_words(intent->extents);
	int result;

	if (intent->writes_in_flight > 0)
		return -EAGAIN;
	result = env_file_resize(intent->file, pages * 2 * INTENT_PAGE_SIZE);
	if (result < 0)
		return result;
	intent->marked = memory_resize(intent->marked, words, sizeof(uint64_t));
	intent->durable = memory_resize(intent->durable, words, sizeof(uint64_t));
	memset(intent->marked + old_words, 0, (words - old_words) * sizeof(uint64_t));
	memset(intent->durable + old_words, 0, (words - old_words) * sizeof(uint64_t));
	intent->pages = memory_resize(intent->pages, pages, sizeof *intent->pages);
	for (uint64_t page = old_pages; page < pages; page++)
		intent->pages[page] = (struct intent_page){ .intent = intent, .index = page };
	mark_beyond(intent->marked, intent->size, 0, extents);
	mark_beyond(intent->durable, intent->size, 0, extents);
	intent->size = size;
	intent->extents = extents;
	intent->page_count = pages;
	intent->marked_count = bitmap_count(intent->marked, 0, extents);
	return 0;
}

void intent_unmark(struct intent *intent, uint64_t extent)
{
	if (!bitmap_test(intent->marked, extent))
		return;
	bitmap_clear(intent->marked, extent, 1);
	bitmap_clear(intent->durable, extent, 1);
	intent->marked_count--;
	intent->pages[extent / INTENT_PAGE_BITS].changed = true;
}

void intent_write_changed(struct intent *intent)
{
	for (uint64_t page = 0; page < intent->page_count; page++) {
		if (intent->pages[page].changed && !intent->pages[page].writing)
			page_write(&intent->pages[page]);
	}
}
