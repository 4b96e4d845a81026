/* The secondary's half of a comparison by hash: are these blocks, in what is committed here, what the primary has?
 *
 * It waits until the newest committed epoch is wholly on the disks, reads the blocks, and answers with a bit for each that
 * differs. Nothing is written. An answer to a question of an epoch given up since is not listened to by the primary. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/planted.h"
#include "repl/internal.h"

struct comparison {
	struct list link;
	struct unit *unit;
	uint64_t generation, epoch, sequence;
	struct frame_hashes hashes;
	uint32_t pending;
	int result;
	uint8_t *buffer;
	struct env_io ios[FRAME_HASHES_MAX];
};

static uint64_t block_bytes(const struct comparison *comparison, uint32_t index)
{
	uint64_t left = comparison->unit->disks[comparison->hashes.disk].peer_size -
			comparison->hashes.blocks[index] * DISK_BLOCK_SIZE;

	return left < DISK_BLOCK_SIZE ? left : DISK_BLOCK_SIZE;
}

static void comparison_free(struct comparison *comparison)
{
	free(comparison->buffer);
	free(comparison);
}

static void comparison_answer(struct comparison *comparison)
{
	struct unit *unit = comparison->unit;
	uint8_t bits[FRAME_DIFFER_SIZE_MAX] = { 0 }, hash[SHA256_SIZE];
	struct frame_header header;

	for (uint32_t i = 0; i < comparison->hashes.count; i++) {
		hash_sha256(comparison->buffer + (size_t)i * DISK_BLOCK_SIZE, block_bytes(comparison, i), hash);
		if (!PLANTED(HASHES_NOT_COMPARED) && memcmp(hash, comparison->hashes.hashes[i], sizeof hash) != 0)
			bits[i / 8] |= (uint8_t)(1u << (i % 8));
	}
	unit_header(unit, FRAME_DIFFER, comparison->epoch, comparison->sequence, &header);
	link_send_small(unit->peer, &header, bits, (comparison->hashes.count + 7) / 8);
}

static void on_read(struct env_io *io, int result)
{
	struct comparison *comparison = io->data;
	struct unit *unit = comparison->unit;

	if (result < 0)
		comparison->result = result;
	if (--comparison->pending > 0)
		return;
	unit->in_flight--;
	if (comparison->result < 0)
		unit_fail(unit, "reading a disk to compare it", comparison->result);
	else if (unit->receiver.attached && comparison->generation == unit->receiver.generation)
		comparison_answer(comparison);
	comparison_free(comparison);
	unit_step_continue(unit);
}

static void comparison_start(struct comparison *comparison)
{
	struct unit *unit = comparison->unit;
	struct backend *backend = disk_backend(unit->disks[comparison->hashes.disk].disk);

	unit->in_flight++;
	comparison->pending = comparison->hashes.count;
	for (uint32_t i = 0; i < comparison->hashes.count; i++) {
		comparison->ios[i] = (struct env_io){ .on_done = on_read, .data = comparison };
		backend->ops->read(backend, &comparison->ios[i], comparison->buffer + (size_t)i * DISK_BLOCK_SIZE,
				   block_bytes(comparison, i), comparison->hashes.blocks[i] * DISK_BLOCK_SIZE);
	}
}

void compare_continue(struct unit *unit)
{
	struct list *link;

	if (unit->applier.running || unit->record.committed > unit->record.applied)
		return;
	while ((link = list_pop(&unit->receiver.comparing)) != NULL)
		comparison_start(container_of(link, struct comparison, link));
	unit->receiver.comparing_count = 0;
}

void compare_forget(struct unit *unit)
{
	struct list *link;

	while ((link = list_pop(&unit->receiver.comparing)) != NULL)
		comparison_free(container_of(link, struct comparison, link));
	unit->receiver.comparing_count = 0;
}

static bool is_within(const struct unit *unit, const struct frame_hashes *hashes)
{
	if (hashes->disk >= unit->spec.disk_count)
		return false;
	for (uint32_t i = 0; i < hashes->count; i++) {
		if (hashes->blocks[i] >= (unit->disks[hashes->disk].peer_size + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE)
			return false;
	}
	return true;
}

void compare_on_hashes(struct unit *unit, const struct frame_header *header, const uint8_t *payload)
{
	struct comparison *comparison;

	if (unit->receiver.comparing_count == ASKS_MAX + SHIPS_MAX)
		return; /* more than a primary asks at a time: those being read when it has ASKS_MAX are asked, too */
	comparison = memory_new(1, sizeof *comparison);
	list_init(&comparison->link);
	comparison->unit = unit;
	comparison->generation = unit->receiver.generation;
	comparison->epoch = header->epoch;
	comparison->sequence = header->sequence;
	if (!frame_hashes_decode(payload, header->payload_size, &comparison->hashes) || !is_within(unit, &comparison->hashes)) {
		comparison_free(comparison);
		return;
	}
	comparison->buffer = memory_resize(NULL, comparison->hashes.count, DISK_BLOCK_SIZE);
	list_append(&unit->receiver.comparing, &comparison->link);
	unit->receiver.comparing_count++;
	compare_continue(unit);
}
