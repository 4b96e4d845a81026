/* Growing both disks of a pair, the secondary's first, so that no epoch ever holds a block it has no place for.
 *
 * At each side: room is made, the new size is stored, then the disk shows it. Whatever a client writes beyond the old size is
 * thereby found again after a crash at any moment; a size stored too early shows bytes that are not yet known to be the same at
 * both sides, and the engine compares them. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

/* One disk of this site on its way to a size. */
struct growth {
	char disk[CONTROL_ID_SIZE];
	uint64_t old_size, size;
	bool compare;
	command_done *on_done; /* with the disk's new size stored, or as it was and the error */
	void *data;
};

static void growth_end(struct control *control, struct growth *growth, const struct error *error)
{
	growth->on_done(control, growth->data, error);
	free(growth);
}

static void on_grown(struct control *control, void *data, const struct error *error)
{
	struct growth *growth = data;
	struct disk_record *disk = disk_find(control, growth->disk);

	if (error->code != 0 && disk != NULL) {
		disk->size = growth->old_size;
		disk_store(control, disk, NULL);
	}
	growth_end(control, growth, error);
}

static void on_extended(struct control *control, void *data, const struct error *error)
{
	struct growth *growth = data;
	struct disk_record *disk = disk_find(control, growth->disk);
	struct error problem = *error;
	struct shard_command command;

	if (problem.code == 0 && disk == NULL)
		error_set(&problem, -ENOENT, "disk %s has been deleted meanwhile", growth->disk);
	if (problem.code != 0 || disk == NULL) {
		growth_end(control, growth, &problem);
		return;
	}
	growth->old_size = disk->size;
	disk->size = growth->size;
	if (disk_store(control, disk, &problem) < 0) {
		disk->size = growth->old_size;
		growth_end(control, growth, &problem);
		return;
	}
	disk_command(disk, SHARD_DISK_GROW, &command);
	command.u.disk.compare = growth->compare;
	send_command(control, &command, on_grown, growth);
}

/* compare: the other site's disk has not grown by zeros, as far as is known. */
static void grow(struct control *control, const struct disk_record *disk, uint64_t size, bool compare, command_done *on_done,
		 void *data)
{
	struct growth *growth = memory_new(1, sizeof *growth);
	struct shard_command command;

	text_copy(growth->disk, sizeof growth->disk, disk->id);
	growth->size = size;
	growth->compare = compare;
	growth->on_done = on_done;
	growth->data = data;
	disk_command(disk, SHARD_DISK_EXTEND, &command);
	command.u.disk.size = size;
	send_command(control, &command, on_extended, growth);
}

static enum refusal growth_refusal(const struct error *error)
{
	switch (error->code) {
	case 0:
		return REFUSE_NONE;
	case -EAGAIN:
	case -EBUSY:
		return REFUSE_INVALID_STATUS;
	case -ENOSPC:
		return REFUSE_NO_SPACE;
	case -ENOTSUP:
		return REFUSE_DISK_SIZE;
	default:
		return REFUSE_STORAGE;
	}
}

/* --- the primary's side --- */

static void on_pair_grown(struct control *control, void *data, const struct error *error)
{
	struct call *call = data;
	struct replica *pair = replica_of_disk(control, call->made_id);

	if (error->code == 0 && pair != NULL) {
		pair->size = call->request.size;
		replica_store(control, pair, NULL);
	}
	call_end(call, growth_refusal(error), "%s", error->text);
}

static void on_peer_grown(struct control *control, void *data, const json_t *reply)
{
	struct call *call = data;
	const struct disk_record *disk = disk_find(control, call->made_id);
	char text[256];
	enum refusal refusal = reply_refusal(reply, text);

	if (refusal == REFUSE_NONE && disk != NULL)
		grow(control, disk, call->request.size, !json_is_true(json_object_get(reply, "zeros")), on_pair_grown, call);
	else if (refusal != REFUSE_NONE)
		call_end(call, refusal, "%s", text);
	else
		call_end(call, REFUSE_NO_SUCH_DISK, "the disk has been deleted meanwhile");
}

static json_t *question_of(const char *disk, uint64_t size)
{
	return json_pack("{s:s, s:s, s:I}", "type", "grow", "disk", disk, "size", (json_int_t)size);
}

void grow_pair(struct call *call, const struct disk_record *disk, const struct replica *pair)
{
	struct control *control = call->control;
	const struct peer *peer = peer_find(control, replica_peer(control, pair));

	if (!is_source(control, pair))
		call_end(call, REFUSE_DISK_IN_PAIR, "disk %s is the secondary of pair %s: resize the primary, %s", disk->id, pair->id,
			 pair->source_disk);
	else if (pair->state >= PAIR_FAILOVERING && pair->state != PAIR_INVALID)
		call_end(call, REFUSE_INVALID_STATUS, "pair %s is %s: its disks cannot be resized now", pair->id,
			 pair_state_name((enum pair_state)pair->state));
	else if (peer == NULL || !peer->linked)
		call_end(call, REFUSE_PEER_UNREACHABLE, "site %s is not reachable now: both disks of a pair grow, or none",
			 replica_peer(control, pair));
	else
		ask_for_call(control, peer->site.zone, question_of(pair->destination_disk, call->request.size), on_peer_grown, call);
}

/* --- a pair's disks have different sizes: one side died, or the lead changed, in the middle of a growth --- */

struct levelling {
	char unit[CONTROL_ID_SIZE], disk[CONTROL_ID_SIZE]; /* the disk of this side */
};

static void on_levelled(struct control *control, void *data, const struct error *error)
{
	struct levelling *levelling = data;
	struct replica *replica = unit_owner(control, levelling->unit), *pair = replica_of_disk(control, levelling->disk);
	const struct disk_record *disk = disk_find(control, levelling->disk);

	if (error->code != 0)
		log_event(LOG_WARNING, "disk.not_grown", "disk=%s reason=\"%s\"", levelling->disk, error->text);
	if (replica != NULL && replica->levelling > 0)
		replica->levelling--;
	if (error->code == 0 && pair != NULL && disk != NULL && pair->size != disk->size) {
		pair->size = disk->size;
		replica_store(control, pair, NULL);
	}
	free(levelling);
}

static void on_peer_levelled(struct control *control, void *data, const json_t *reply)
{
	struct levelling *levelling = data;
	const struct disk_record *disk = disk_find(control, levelling->disk);
	json_int_t theirs = json_integer_value(json_object_get(reply, "size"));
	struct error error = { 0 };
	char text[256];

	if (reply_refusal(reply, text) != REFUSE_NONE)
		error_set(&error, -EIO, "%s", text);
	if (error.code == 0 && disk != NULL && theirs > (json_int_t)disk->size && (uint64_t)theirs <= DISK_SIZE_MAX)
		grow(control, disk, (uint64_t)theirs, true, on_levelled, levelling);
	else
		on_levelled(control, levelling, &error);
}

/* What is beyond the size that both have had is marked: now the other one may grow. */
static void on_suspected(struct control *control, void *data, const struct error *error)
{
	struct levelling *levelling = data;
	const struct disk_record *disk = disk_find(control, levelling->disk);
	const struct replica *pair = replica_of_disk(control, levelling->disk);

	if (error->code != 0 || disk == NULL || pair == NULL)
		on_levelled(control, levelling, error);
	else
		ask_peer(control, replica_peer(control, pair), question_of(pair->destination_disk, disk->size), on_peer_levelled,
			 levelling);
}

void level_disks(struct control *control, struct replica *replica)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX] = { replica };
	uint32_t count = replica->is_group ? replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX) : 1;

	if (replica->levelling > 0 || !is_source(control, replica))
		return;
	for (uint32_t i = 0; i < count; i++) {
		const struct disk_record *disk = disk_find(control, members[i]->source_disk);
		struct shard_command command;
		struct levelling *levelling;

		if (disk == NULL)
			continue;
		replica->levelling++;
		levelling = memory_new(1, sizeof *levelling);
		text_copy(levelling->unit, sizeof levelling->unit, replica->id);
		text_copy(levelling->disk, sizeof levelling->disk, disk->id);
		disk_command(disk, SHARD_DISK_SUSPECT, &command);
		command.u.disk.size = members[i]->size;
		send_command(control, &command, on_suspected, levelling);
	}
}

static void on_grown_for_peer(struct control *control, void *data, const struct error *error)
{
	struct debt *debt = data;
	const struct disk_record *disk = disk_find(control, debt_unit(debt));
	json_t *reply = reply_with(growth_refusal(error), error->text);

	/* Our own files grow by zeros; what a device has there, or a file that was adopted, nobody knows. */
	json_object_set_new(reply, "zeros", json_boolean(disk != NULL && !disk->adopted));
	debt_pay_with(debt, reply);
}

/* It is as large as that, or larger: the other side hears how large. */
static void pay_with_size(struct debt *debt, uint64_t size)
{
	json_t *reply = reply_with(REFUSE_NONE, "");

	json_object_set_new(reply, "size", json_integer((json_int_t)size));
	debt_pay_with(debt, reply);
}

/* "grow": the disk of a pair here becomes as large as the primary's is, or is about to be. */
void on_grow(struct debt *debt, const json_t *message)
{
	struct control *control = debt_control(debt);
	const char *id = json_string_value(json_object_get(message, "disk"));
	json_int_t size = json_integer_value(json_object_get(message, "size"));
	const struct disk_record *disk = id == NULL ? NULL : disk_find(control, id);

	if (disk == NULL || replica_of_disk(control, id) == NULL) {
		debt_pay(debt, REFUSE_NO_SUCH_DISK, "the other site has no such disk in a pair");
	} else if (size <= (json_int_t)disk->size) {
		pay_with_size(debt, disk->size);
	} else if ((uint64_t)size > DISK_SIZE_MAX) {
		debt_pay(debt, REFUSE_DISK_SIZE, "a disk has at most 64 TiB");
	} else {
		debt_set_unit(debt, id);
		grow(control, disk, (uint64_t)size, true, on_grown_for_peer, debt);
	}
}
