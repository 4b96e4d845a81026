#include "repl/divergence_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/planted.h"

#define PAGE DIVERGENCE_PAGE
#define VERSION 1u
#define HEADER_CHECKSUM_AT (PAGE - 8u)
#define RECORD_CHECKSUM_AT 24u
#define ENTRIES_AT 32u
#define ENTRY_SIZE 16u
#define LEAF_BLOCKS 512u

static const uint8_t magic[4] = { 'O', 'F', 'S', 'D' };

static void file_path(const struct unit *unit, char *out, size_t size)
{
	snprintf(out, size, "%s/units/%s.diverged", unit->engine->directory, unit->spec.id);
}

/* --- life --- */

static struct divergence *divergence_new(struct unit *unit, struct env_file *file)
{
	struct divergence *divergence = memory_new(1, sizeof *divergence);

	divergence->unit = unit;
	divergence->references = 1;
	divergence->file = file;
	divergence->end = PAGE;
	divergence->disk_count = unit->spec.disk_count;
	divergence->disks = memory_new(divergence->disk_count, sizeof divergence->disks[0]);
	divergence->buffer = memory_new(1 + DIVERGENCE_ENTRIES_MAX, PAGE);
	return divergence;
}

static void disk_set_size(struct saved_disk *disk, uint64_t size)
{
	disk->size = size;
	disk->blocks = (size + PAGE - 1) / PAGE;
	disk->leaves = memory_new((size_t)(disk->blocks / LEAF_BLOCKS + 1), sizeof disk->leaves[0]);
}

void divergence_release(struct divergence *divergence)
{
	if (--divergence->references > 0)
		return;
	for (uint32_t i = 0; i < divergence->disk_count; i++) {
		for (uint64_t k = 0; divergence->disks[i].leaves != NULL && k < divergence->disks[i].blocks / LEAF_BLOCKS + 1; k++)
			free(divergence->disks[i].leaves[k]);
		free(divergence->disks[i].leaves);
	}
	env_file_close(divergence->file);
	free(divergence->disks);
	free(divergence->buffer);
	free(divergence);
}

void divergence_remove(struct unit *unit)
{
	char path[sizeof unit->engine->directory + 96];

	file_path(unit, path, sizeof path);
	env_file_remove(unit->engine->env, path);
}

void divergence_end(struct unit *unit, bool remove)
{
	struct divergence *divergence = unit->divergence;

	if (divergence == NULL)
		return;
	if (remove) {
		log_event(LOG_WARNING, "unit.divergence_ended", "unit=%s bytes=%llu", unit->spec.id,
			  (unsigned long long)divergence->end);
		divergence_remove(unit);
	}
	unit->divergence = NULL;
	divergence->ended = true;
	divergence_release(divergence);
}

void divergence_take(struct divergence *divergence)
{
	divergence->references++;
	divergence->unit->in_flight++;
}

/* Calls on_done, if that is set; the divergence may be gone then. */
static void give_back(struct divergence *divergence, int result)
{
	struct unit *unit = divergence->unit;
	divergence_done *on_done = divergence->on_done;

	divergence->on_done = NULL;
	unit->in_flight--;
	if (divergence->ended)
		result = 0;
	divergence_release(divergence);
	on_done(unit, result);
}

static void begin(struct divergence *divergence, divergence_done *on_done)
{
	divergence_take(divergence);
	divergence->on_done = on_done;
}

/* --- the index --- */

const struct saved_block *divergence_find(const struct divergence *divergence, uint32_t disk, uint64_t block)
{
	const struct saved_block *leaf = divergence->disks[disk].leaves[block / LEAF_BLOCKS];

	return leaf == NULL || leaf[block % LEAF_BLOCKS].page == 0 ? NULL : &leaf[block % LEAF_BLOCKS];
}

static void add(struct divergence *divergence, uint32_t disk, uint64_t block, uint32_t page, uint32_t check)
{
	struct saved_block **leaf = &divergence->disks[disk].leaves[block / LEAF_BLOCKS];

	if (*leaf == NULL)
		*leaf = memory_new(LEAF_BLOCKS, sizeof **leaf);
	(*leaf)[block % LEAF_BLOCKS] = (struct saved_block){ .page = page, .check = check };
}

/* The last block of a disk may be short. */
static size_t block_size(const struct saved_disk *disk, uint64_t block)
{
	uint64_t left = disk->size - block * PAGE;

	return left < PAGE ? (size_t)left : PAGE;
}

static uint64_t record_checksum(const struct divergence *divergence, const uint8_t *page)
{
	uint8_t bare[PAGE];

	memcpy(bare, page, PAGE);
	put_le64(bare + RECORD_CHECKSUM_AT, 0);
	return hash_xxh3_pair(&divergence->salt, sizeof divergence->salt, bare, PAGE);
}

static const uint8_t *entry_at(const uint8_t *page, uint32_t index)
{
	return page + ENTRIES_AT + (size_t)index * ENTRY_SIZE;
}

/* Takes the entries of a record at `at` into the index; gives its size in the file. */
static uint64_t add_record(struct divergence *divergence, const uint8_t *page, uint64_t at)
{
	uint32_t disk = get_le32(page + 8), count = get_le32(page + 12), next = (uint32_t)(at / PAGE) + 1;

	for (uint32_t i = 0; i < count; i++) {
		const uint8_t *entry = entry_at(page, i);
		bool zeros = get_le32(entry + 12) != 0;

		add(divergence, disk, get_le64(entry), zeros ? DIVERGENCE_ZEROS : next, get_le32(entry + 8));
		next += !zeros;
	}
	return (uint64_t)next * PAGE - at;
}

/* --- making it --- */

static void on_synced(struct env_io *io, int result)
{
	give_back(io->data, result);
}

static void on_header_written(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;

	if (result < 0) {
		give_back(divergence, result);
		return;
	}
	divergence->io = (struct env_io){ .on_done = on_synced, .data = divergence };
	env_file_sync(divergence->file, &divergence->io);
}

static void encode_header(const struct divergence *divergence, uint8_t page[PAGE])
{
	memset(page, 0, PAGE);
	memcpy(page, magic, sizeof magic);
	put_le32(page + 4, VERSION);
	memcpy(page + 8, divergence->unit->record.lineage, ENGINE_LINEAGE_SIZE);
	put_le64(page + 24, divergence->salt);
	put_le64(page + 32, divergence->wall_ms);
	put_le32(page + 40, divergence->disk_count);
	for (uint32_t i = 0; i < divergence->disk_count; i++)
		put_le64(page + 48 + 8 * (size_t)i, divergence->disks[i].size);
	put_le64(page + HEADER_CHECKSUM_AT, hash_xxh3(page, HEADER_CHECKSUM_AT));
}

void divergence_create(struct unit *unit, divergence_done *on_done)
{
	char path[sizeof unit->engine->directory + 96];
	struct divergence *divergence;
	struct env_file *file;
	int result;

	divergence_end(unit, true);
	file_path(unit, path, sizeof path);
	result = env_file_open(unit->engine->env, path, ENV_CREATE, &file);
	if (result == 0)
		result = env_file_resize(file, 0);
	if (result < 0) {
		on_done(unit, result);
		return;
	}
	unit->divergence = divergence = divergence_new(unit, file);
	env_random(unit->engine->env, &divergence->salt, sizeof divergence->salt);
	divergence->wall_ms = env_wall_ms(unit->engine->env);
	for (uint32_t i = 0; i < divergence->disk_count; i++)
		disk_set_size(&divergence->disks[i], disk_size(unit->disks[i].disk));
	encode_header(divergence, divergence->buffer);
	begin(divergence, on_done);
	divergence->io = (struct env_io){ .on_done = on_header_written, .data = divergence };
	env_file_write(file, &divergence->io, divergence->buffer, PAGE, 0);
}

/* --- reading it after a restart --- */

static void load_record(struct divergence *divergence);

/* The record's page is in the buffer, read at `end`. 0 when it is none. */
static uint64_t check_record(const struct divergence *divergence)
{
	const uint8_t *page = divergence->buffer;
	uint32_t disk = get_le32(page + 8), count = get_le32(page + 12);
	uint64_t size = PAGE;

	if (get_le64(page + 16) != divergence->end || count == 0 || count > DIVERGENCE_ENTRIES_MAX ||
	    disk >= divergence->disk_count || get_le64(page + RECORD_CHECKSUM_AT) != record_checksum(divergence, page))
		return 0;
	for (uint32_t i = 0; i < count; i++) {
		if (get_le64(entry_at(page, i)) >= divergence->disks[disk].blocks)
			return 0;
		size += get_le32(entry_at(page, i) + 12) != 0 ? 0 : PAGE;
	}
	return size > divergence->file_size - divergence->end ? 0 : size;
}

static void on_record_blocks(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;
	const uint8_t *page = divergence->buffer, *bytes = page + PAGE;
	bool whole = result == 0;

	for (uint32_t i = 0; whole && i < get_le32(page + 12); i++) {
		const uint8_t *entry = entry_at(page, i);

		if (get_le32(entry + 12) != 0)
			continue;
		whole = (uint32_t)hash_xxh3(bytes, PAGE) == get_le32(entry + 8);
		bytes += PAGE;
	}
	if (!whole) { /* nothing of its epoch was written in place: it will be saved again */
		give_back(divergence, result);
		return;
	}
	divergence->end += add_record(divergence, page, divergence->end);
	load_record(divergence);
}

static void on_record_page(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;
	uint64_t size = result < 0 ? 0 : check_record(divergence);

	if (size == 0) {
		give_back(divergence, result);
		return;
	}
	/* Of an epoch applied the saved blocks were stable before the first of it was written in place. */
	if (get_le64(divergence->buffer) <= divergence->unit->record.applied || size == PAGE ||
	    PLANTED(DIVERGENCE_TORN_TRUSTED)) {
		divergence->end += add_record(divergence, divergence->buffer, divergence->end);
		load_record(divergence);
		return;
	}
	divergence->io = (struct env_io){ .on_done = on_record_blocks, .data = divergence };
	env_file_read(divergence->file, &divergence->io, divergence->buffer + PAGE, (size_t)(size - PAGE), divergence->end + PAGE);
}

static void load_record(struct divergence *divergence)
{
	if (divergence->file_size - divergence->end < PAGE) {
		divergence->io = (struct env_io){ .on_done = on_synced, .data = divergence };
		env_defer(divergence->unit->engine->env, &divergence->io);
		return;
	}
	divergence->io = (struct env_io){ .on_done = on_record_page, .data = divergence };
	env_file_read(divergence->file, &divergence->io, divergence->buffer, PAGE, divergence->end);
}

static void on_header_read(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;
	const uint8_t *page = divergence->buffer;

	if (result == 0 && (memcmp(page, magic, sizeof magic) != 0 || get_le32(page + 4) != VERSION ||
			    get_le64(page + HEADER_CHECKSUM_AT) != hash_xxh3(page, HEADER_CHECKSUM_AT) ||
			    get_le32(page + 40) != divergence->disk_count))
		result = -EBADMSG;
	if (result < 0) {
		give_back(divergence, result);
		return;
	}
	divergence->salt = get_le64(page + 24);
	divergence->wall_ms = get_le64(page + 32);
	for (uint32_t i = 0; i < divergence->disk_count; i++)
		disk_set_size(&divergence->disks[i], get_le64(page + 48 + 8 * (size_t)i));
	load_record(divergence);
}

void divergence_load(struct unit *unit, divergence_done *on_done)
{
	char path[sizeof unit->engine->directory + 96];
	struct env_file *file;
	int result;

	file_path(unit, path, sizeof path);
	result = env_file_open(unit->engine->env, path, 0, &file);
	if (result < 0) {
		on_done(unit, result);
		return;
	}
	unit->divergence = divergence_new(unit, file);
	begin(unit->divergence, on_done);
	result = env_file_size(file, &unit->divergence->file_size);
	unit->divergence->io = (struct env_io){ .on_done = on_header_read, .data = unit->divergence };
	if (result == 0 && unit->divergence->file_size >= PAGE)
		env_file_read(file, &unit->divergence->io, unit->divergence->buffer, PAGE, 0);
	else
		give_back(unit->divergence, result < 0 ? result : -EBADMSG);
}

/* --- saving --- */

static void save_more(struct divergence *divergence);

static void on_record_written(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;

	if (result < 0) {
		give_back(divergence, result);
		return;
	}
	add_record(divergence, divergence->buffer, divergence->end);
	divergence->end += divergence->record_size;
	save_more(divergence);
}

static bool is_zero(const uint8_t *bytes)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, PAGE - 1) == 0;
}

/* The blocks are read; those of zeros need no room. */
static void write_record(struct divergence *divergence)
{
	struct saving *saving = &divergence->saving;
	uint8_t *page = divergence->buffer, *to = page + PAGE;

	memset(page, 0, PAGE);
	put_le64(page, saving->epoch);
	put_le32(page + 8, saving->disk);
	put_le32(page + 12, saving->count);
	put_le64(page + 16, divergence->end);
	for (uint32_t i = 0; i < saving->count; i++) {
		uint8_t *from = divergence->buffer + (size_t)(1 + i) * PAGE, *entry = page + ENTRIES_AT + (size_t)i * ENTRY_SIZE;
		bool zeros = is_zero(from);

		put_le64(entry, saving->blocks[i]);
		put_le32(entry + 8, (uint32_t)hash_xxh3(from, PAGE));
		put_le32(entry + 12, zeros);
		if (!zeros) {
			memmove(to, from, PAGE);
			to += PAGE;
		}
	}
	put_le64(page + RECORD_CHECKSUM_AT, record_checksum(divergence, page));
	divergence->record_size = (uint64_t)(to - page);
	if (divergence->end + divergence->record_size > divergence->unit->engine->limits.divergence_bytes_max) {
		give_back(divergence, -EFBIG);
		return;
	}
	divergence->io = (struct env_io){ .on_done = on_record_written, .data = divergence };
	env_file_write(divergence->file, &divergence->io, page, (size_t)divergence->record_size, divergence->end);
}

static void on_block_read(struct env_io *io, int result)
{
	struct divergence *divergence = io->data;
	struct saving *saving = &divergence->saving;

	if (result < 0)
		saving->result = result;
	if (--saving->pending > 0)
		return;
	if (saving->result < 0)
		give_back(divergence, saving->result);
	else
		write_record(divergence);
}

/* Collects what the frame overwrites first, up to a record's worth. */
static void collect(struct divergence *divergence)
{
	struct saving *saving = &divergence->saving;
	const struct saved_disk *disk = &divergence->disks[saving->disk];

	saving->count = 0;
	while (saving->range < saving->content.range_count && saving->count < DIVERGENCE_ENTRIES_MAX) {
		struct frame_range range = frame_data_range(&saving->content, saving->range);
		uint64_t end = (range.offset + range.length + PAGE - 1) / PAGE;

		if (saving->block == UINT64_MAX)
			saving->block = range.offset / PAGE;
		while (saving->block < end && saving->block < disk->blocks && saving->count < DIVERGENCE_ENTRIES_MAX) {
			if (divergence_find(divergence, saving->disk, saving->block) == NULL)
				saving->blocks[saving->count++] = saving->block;
			saving->block++;
		}
		if (saving->block >= end || saving->block >= disk->blocks) {
			saving->range++;
			saving->block = UINT64_MAX;
		}
	}
}

static void save_more(struct divergence *divergence)
{
	struct saving *saving = &divergence->saving;
	struct backend *backend;

	if (!divergence->ended)
		collect(divergence);
	if (divergence->ended || saving->count == 0) {
		give_back(divergence, 0);
		return;
	}
	backend = disk_backend(divergence->unit->disks[saving->disk].disk);
	saving->pending = saving->count;
	saving->result = 0;
	for (uint32_t i = 0; i < saving->count; i++) {
		uint8_t *to = divergence->buffer + (size_t)(1 + i) * PAGE;
		size_t size = block_size(&divergence->disks[saving->disk], saving->blocks[i]);

		memset(to + size, 0, PAGE - size);
		saving->ios[i] = (struct env_io){ .on_done = on_block_read, .data = divergence };
		backend->ops->read(backend, &saving->ios[i], to, size, saving->blocks[i] * PAGE);
	}
}

static void on_save_begun(struct env_io *io, int result)
{
	(void)result;
	save_more(io->data);
}

void divergence_save(struct unit *unit, uint64_t epoch, const uint8_t *frame, divergence_done *on_done)
{
	struct divergence *divergence = unit->divergence;
	struct saving *saving = &divergence->saving;
	struct frame_header header;

	saving->epoch = epoch;
	saving->range = saving->count = 0;
	saving->block = UINT64_MAX;
	saving->content.range_count = 0;
	begin(divergence, on_done);
	if (frame_decode_header(frame, &header) &&
	    frame_data_decode(frame + FRAME_HEADER_SIZE, header.payload_size, header.flags, &saving->content) &&
	    saving->content.disk < divergence->disk_count)
		saving->disk = saving->content.disk;
	else
		saving->content.range_count = 0; /* applying it will say so */
	divergence->io = (struct env_io){ .on_done = on_save_begun, .data = divergence };
	env_defer(unit->engine->env, &divergence->io);
}

void divergence_sync(struct unit *unit, divergence_done *on_done)
{
	struct divergence *divergence = unit->divergence;

	begin(divergence, on_done);
	divergence->io = (struct env_io){ .on_done = on_synced, .data = divergence };
	if (PLANTED(DIVERGENCE_UNSYNCED))
		env_defer(unit->engine->env, &divergence->io);
	else
		env_file_sync(divergence->file, &divergence->io);
}

uint64_t divergence_bytes(const struct unit *unit)
{
	return unit->divergence == NULL ? 0 : unit->divergence->end;
}

uint64_t divergence_wall_ms(const struct unit *unit)
{
	return unit->divergence == NULL ? 0 : unit->divergence->wall_ms;
}
