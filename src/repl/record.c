#include "repl/record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/planted.h"

static const uint8_t record_magic[4] = { 'O', 'F', 'S', 'U' };

#define VERSION 2u
#define CHECKSUM_AT 144u

const char *record_condition_name(enum record_condition condition)
{
	static const char *const names[RECORD_CONDITIONS] = { "leading", "following", "failed-over", "superseded" };

	return condition < RECORD_CONDITIONS ? names[condition] : "?";
}

void record_encode(const struct record *record, uint64_t sequence, uint8_t slot[RECORD_SLOT_SIZE])
{
	memset(slot, 0, RECORD_SLOT_SIZE);
	memcpy(slot, record_magic, sizeof record_magic);
	put_le32(slot + 4, VERSION);
	put_le64(slot + 8, sequence);
	memcpy(slot + 16, record->lineage, sizeof record->lineage);
	put_le64(slot + 32, record->term);
	put_le32(slot + 40, (uint32_t)record->condition);
	put_le32(slot + 44, (uint32_t)record->content);
	put_le64(slot + 48, record->copy);
	put_le64(slot + 56, record->committed);
	put_le64(slot + 64, record->committed_wall_ms);
	put_le64(slot + 72, record->applied);
	put_le32(slot + 80, record->stage);
	put_le32(slot + 84, record->disk_count);
	put_le64(slot + 88, record->staged_bytes);
	put_le64(slot + 96, record->epoch_reserved);
	put_le64(slot + 104, record->frames);
	put_le64(slot + 112, record->floor);
	put_le64(slot + 120, record->peer_copy);
	put_le64(slot + 128, (uint64_t)record->wall_ahead_ms);
	put_le32(slot + 136, (uint32_t)record->divergence);
	put_le64(slot + CHECKSUM_AT, hash_xxh3(slot, CHECKSUM_AT));
}

uint64_t record_decode(const uint8_t slot[RECORD_SLOT_SIZE], struct record *out_record)
{
	if (memcmp(slot, record_magic, sizeof record_magic) != 0 || get_le32(slot + 4) != VERSION ||
	    get_le64(slot + CHECKSUM_AT) != hash_xxh3(slot, CHECKSUM_AT) || get_le32(slot + 40) >= RECORD_CONDITIONS ||
	    get_le32(slot + 44) >= COPY_CONTENTS || get_le32(slot + 80) > 1 || get_le32(slot + 136) >= RECORD_DIVERGENCES)
		return 0;
	memcpy(out_record->lineage, slot + 16, sizeof out_record->lineage);
	out_record->term = get_le64(slot + 32);
	out_record->condition = (enum record_condition)get_le32(slot + 40);
	out_record->content = (enum copy_content)get_le32(slot + 44);
	out_record->copy = get_le64(slot + 48);
	out_record->committed = get_le64(slot + 56);
	out_record->committed_wall_ms = get_le64(slot + 64);
	out_record->applied = get_le64(slot + 72);
	out_record->stage = get_le32(slot + 80);
	out_record->disk_count = get_le32(slot + 84);
	out_record->staged_bytes = get_le64(slot + 88);
	out_record->epoch_reserved = get_le64(slot + 96);
	out_record->frames = get_le64(slot + 104);
	out_record->floor = get_le64(slot + 112);
	out_record->peer_copy = get_le64(slot + 120);
	out_record->wall_ahead_ms = (int64_t)get_le64(slot + 128);
	out_record->divergence = (enum record_divergence)get_le32(slot + 136);
	return get_le64(slot + 8);
}

static void on_loaded_synced(struct env_io *io, int result)
{
	struct record_file *file = io->data;
	struct record first = { 0 }, second = { 0 };
	uint64_t first_sequence = 0, second_sequence = 0;

	if (result == 0) {
		first_sequence = record_decode(file->slots, &first);
		second_sequence = record_decode(file->slots + RECORD_SLOT_SIZE, &second);
	}
	file->sequence = first_sequence > second_sequence ? first_sequence : second_sequence;
	file->writing = false;
	file->on_loaded(file->data, result, file->sequence > 0, first_sequence > second_sequence ? &first : &second);
}

static void on_rewritten(struct env_io *io, int result)
{
	struct record_file *file = io->data;

	if (result < 0) {
		on_loaded_synced(io, result);
		return;
	}
	file->io = (struct env_io){ .on_done = on_loaded_synced, .data = file };
	env_file_sync(file->file, &file->io);
}

/* A killed process may have written a slot and not synced it, or failed to: it is read back from the cache, and could still be
 * lost with the power. So it is written again as it is, in its place, and synced, before anybody acts on it. */
static void on_loaded(struct env_io *io, int result)
{
	struct record_file *file = io->data;
	struct record ignored;
	uint64_t first, second, at;

	if (result < 0 || PLANTED(READ_BACK_TRUSTED)) {
		on_loaded_synced(io, result);
		return;
	}
	first = record_decode(file->slots, &ignored);
	second = record_decode(file->slots + RECORD_SLOT_SIZE, &ignored);
	if (first == second) { /* none */
		on_rewritten(io, 0);
		return;
	}
	at = first > second ? 0 : RECORD_SLOT_SIZE;
	file->io = (struct env_io){ .on_done = on_rewritten, .data = file };
	env_file_write(file->file, &file->io, file->slots + at, RECORD_SLOT_SIZE, at);
}

int record_open(struct record_file *file, struct env *env, const char *path,
		void (*on_done)(void *data, int result, bool found, const struct record *record), void *data)
{
	uint64_t size = 0;
	int result;

	*file = (struct record_file){ .env = env, .on_loaded = on_done, .data = data };
	list_init(&file->queue);
	result = env_file_open(env, path, ENV_CREATE, &file->file);
	if (result == 0)
		result = env_file_size(file->file, &size);
	if (result == 0 && size < 2 * RECORD_SLOT_SIZE)
		result = env_file_resize(file->file, 2 * RECORD_SLOT_SIZE);
	if (result < 0) {
		env_file_close(file->file);
		return result;
	}
	file->slots = memory_new(2, RECORD_SLOT_SIZE);
	file->writing = true;
	file->io = (struct env_io){ .on_done = on_loaded, .data = file };
	env_file_read(file->file, &file->io, file->slots, 2 * RECORD_SLOT_SIZE, 0);
	return 0;
}

static void record_write_next(struct record_file *file);

static void on_write_ended(struct record_file *file, int result)
{
	struct record_write *write = container_of(file->queue.next, struct record_write, link);

	list_remove(&write->link);
	file->writing = false;
	if (result == 0)
		file->sequence++;
	if (!list_is_empty(&file->queue))
		record_write_next(file);
	write->on_done(write, result);
}

static void on_synced(struct env_io *io, int result)
{
	on_write_ended(io->data, result);
}

static void on_written(struct env_io *io, int result)
{
	struct record_file *file = io->data;

	if (result < 0) {
		on_write_ended(file, result);
		return;
	}
	file->io = (struct env_io){ .on_done = on_synced, .data = file };
	env_file_sync(file->file, &file->io);
}

static void record_write_next(struct record_file *file)
{
	struct record_write *write = container_of(file->queue.next, struct record_write, link);
	uint64_t slot = (file->sequence + 1) & 1;

	file->writing = true;
	record_encode(&write->record, file->sequence + 1, file->slots);
	file->io = (struct env_io){ .on_done = on_written, .data = file };
	env_file_write(file->file, &file->io, file->slots, RECORD_SLOT_SIZE, slot * RECORD_SLOT_SIZE);
}

void record_write(struct record_file *file, struct record_write *write, const struct record *record,
		  void (*on_done)(struct record_write *write, int result), void *data)
{
	write->record = *record;
	write->on_done = on_done;
	write->data = data;
	list_append(&file->queue, &write->link);
	if (!file->writing)
		record_write_next(file);
}

bool record_is_idle(const struct record_file *file)
{
	return !file->writing && list_is_empty(&file->queue);
}

void record_close(struct record_file *file)
{
	assert(record_is_idle(file));
	env_file_close(file->file);
	free(file->slots);
	*file = (struct record_file){ 0 };
}
