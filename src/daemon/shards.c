#include "daemon/shards.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "control/port.h"
#include "daemon/config.h"
#include "daemon/exports.h"
#include "daemon/mailbox.h"
#include "daemon/placement.h"
#include "daemon/shard.h"
#include "repl/pace_line.h"
#include "tls/credentials.h"

#define START_LIMIT_MS 60000u /* for those that run when another could not be started */
/* In the ids of commands, as the shards see them. */
#define OWN (UINT64_C(1) << 63)      /* control has not sent it */
#define EXPECTED (UINT64_C(1) << 62) /* there is a struct expected: others need not be looked for */

/* What is done with the placement when a command has been answered. */
enum then { THEN_FORGET_DISK, THEN_FORGET_UNIT, THEN_FORGET_NEW_UNIT, THEN_MOVE_DISK };

struct expected {
	struct list link;
	uint64_t command_id;
	enum then then;
	char object[ENGINE_ID_SIZE];
};

struct held {
	struct list link;
	struct shard_command command;
};

struct shards {
	struct shard *rows[ENGINE_SHARDS_MAX];
	struct shard_core *cores[ENGINE_SHARDS_MAX];
	unsigned count;
	struct exports *exports;
	struct pace_line *lines; /* one a peer */
	struct mailbox *mailbox;
	struct placement placement;
	struct list expected; /* struct expected, oldest first */
	uint64_t own_ids;
	unsigned moving;      /* disks */
	struct held *opening; /* the unit they move for */
	struct error move_error;
	struct list held;
};

/* --- commands --- */

static void command_forget(const struct shard_command *command)
{
	if (command->kind == SHARD_UNIT_OPEN)
		free(command->u.unit.spec);
	if (command->kind == SHARD_MESSAGE)
		free(command->u.message.bytes);
}

static struct held *held_new(const struct shard_command *command)
{
	struct held *held = memory_new(1, sizeof *held);

	list_init(&held->link);
	held->command = *command;
	return held;
}

static void expect(struct shards *shards, struct shard_command *command, enum then then, const char *object)
{
	struct expected *expected = memory_new(1, sizeof *expected);

	command->id |= EXPECTED;
	expected->command_id = command->id;
	expected->then = then;
	text_copy(expected->object, sizeof expected->object, object);
	list_append(&shards->expected, &expected->link);
}

/* To every shard, and answered by the first. */
static void send_to_all(struct shards *shards, const struct shard_command *command)
{
	struct shard_command copy = *command;

	for (unsigned i = 1; i < shards->count; i++) {
		copy.id = OWN | ++shards->own_ids;
		shard_send(shards->rows[i], &copy);
	}
	shard_send(shards->rows[0], command);
}

static void move_disk(struct shards *shards, const char *id, unsigned to)
{
	struct shard_command move = { .kind = SHARD_DISK_MOVE, .id = OWN | ++shards->own_ids };

	text_copy(move.u.disk.id, sizeof move.u.disk.id, id);
	move.u.disk.shard = to;
	expect(shards, &move, THEN_MOVE_DISK, id);
	shards->moving++;
	shard_send(shards->rows[placement_of_disk(&shards->placement, id)], &move);
}

static void open_unit(struct shards *shards, struct shard_command *command)
{
	const struct unit_spec *spec = command->u.unit.spec;
	bool known = placement_knows_unit(&shards->placement, spec->id);
	unsigned to = placement_add_unit(&shards->placement, spec);

	if (!known)
		expect(shards, command, THEN_FORGET_NEW_UNIT, spec->id);
	for (uint32_t i = 0; i < spec->disk_count; i++) {
		if (placement_of_disk(&shards->placement, spec->disks[i].local_disk) != to)
			move_disk(shards, spec->disks[i].local_disk, to);
	}
	if (shards->moving == 0)
		shard_send(shards->rows[to], command);
	else
		shards->opening = held_new(command);
}

static void send_disk(struct shards *shards, struct shard_command *command)
{
	const char *id = command->u.disk.id;

	if (command->kind == SHARD_DISK_CREATE || command->kind == SHARD_DISK_OPEN)
		placement_add_disk(&shards->placement, id);
	if (command->kind == SHARD_DISK_CLOSE || command->kind == SHARD_DISK_DELETE)
		expect(shards, command, THEN_FORGET_DISK, id);
	shard_send(shards->rows[placement_of_disk(&shards->placement, id)], command);
}

static void send_unit(struct shards *shards, struct shard_command *command)
{
	const char *id = command->u.unit.id;

	if (command->kind == SHARD_UNIT_REMOVE)
		expect(shards, command, THEN_FORGET_UNIT, id);
	shard_send(shards->rows[placement_of_unit(&shards->placement, id)], command);
}

static void send_now(struct shards *shards, const struct shard_command *command)
{
	struct shard_command copy = *command;

	if (command->kind == SHARD_UNIT_OPEN)
		open_unit(shards, &copy);
	else if (command->kind <= SHARD_DISK_UNEXPORT)
		send_disk(shards, &copy);
	else
		send_unit(shards, &copy);
}

void shards_send(struct shards *shards, const struct shard_command *command)
{
	if (command->kind == SHARD_MESSAGE)
		shard_send(shards->rows[0], command);
	else if (command->kind == SHARD_PEER_LIMIT)
		send_to_all(shards, command);
	else if (shards->moving > 0)
		list_append(&shards->held, &held_new(command)->link);
	else
		send_now(shards, command);
}

/* --- answers --- */

/* The disks are where the unit is to be opened, or one of them could not be moved. */
static void on_moved(struct shards *shards)
{
	struct held *opening = steal(shards->opening);
	struct list *entry;

	if (shards->move_error.code == 0) {
		shard_send(shards->rows[placement_of_unit(&shards->placement, opening->command.u.unit.id)], &opening->command);
	} else {
		struct mail *mail = mail_new(MAIL_ANSWER);

		mail->u.answer.command_id = opening->command.id;
		mail->u.answer.error = shards->move_error;
		mailbox_put(shards->mailbox, mail);
		command_forget(&opening->command);
	}
	shards->move_error = (struct error){ 0 };
	free(opening);
	while (shards->moving == 0 && (entry = list_pop(&shards->held)) != NULL) {
		send_now(shards, &container_of(entry, struct held, link)->command);
		free(container_of(entry, struct held, link));
	}
}

static void on_expected(struct shards *shards, const struct expected *expected, const struct error *error)
{
	struct placement *placement = &shards->placement;

	switch (expected->then) {
	case THEN_FORGET_DISK:
		if (error->code == 0)
			placement_forget_disk(placement, expected->object);
		break;
	case THEN_FORGET_UNIT:
		if (error->code == 0)
			placement_forget_unit(placement, expected->object);
		break;
	case THEN_FORGET_NEW_UNIT:
		if (error->code != 0)
			placement_forget_unit(placement, expected->object);
		break;
	case THEN_MOVE_DISK:
		if (error->code == 0)
			placement_move_disk(placement, expected->object, placement_of_unit(placement, shards->opening->command.u.unit.id));
		else
			shards->move_error = *error;
		shards->moving--;
		if (shards->moving == 0)
			on_moved(shards);
		break;
	}
}

static struct expected *expected_take(struct shards *shards, uint64_t command_id)
{
	list_for_each(entry, &shards->expected) { /* they are answered nearly in order */
		struct expected *expected = container_of(entry, struct expected, link);

		if (expected->command_id != command_id)
			continue;
		list_remove(entry);
		return expected;
	}
	return NULL;
}

bool shards_on_answer(struct shards *shards, uint64_t *command_id, const struct error *error)
{
	struct expected *expected = (*command_id & EXPECTED) == 0 ? NULL : expected_take(shards, *command_id);

	if (expected != NULL)
		on_expected(shards, expected, error);
	free(expected);
	*command_id &= ~EXPECTED;
	return (*command_id & OWN) != 0;
}

/* --- beginning and end --- */

static void shards_free(struct shards *shards)
{
	list_for_each(entry, &shards->expected)
		free(container_of(entry, struct expected, link));
	if (shards->opening != NULL)
		list_append(&shards->held, &shards->opening->link);
	list_for_each(entry, &shards->held) {
		struct held *held = container_of(entry, struct held, link);

		command_forget(&held->command);
		free(held);
	}
	placement_fini(&shards->placement);
	free(shards->lines);
	exports_free(shards->exports);
	free(shards);
}

/* The last first, so that nobody sends to a shard that is not there yet. */
int shards_start(const struct shards_options *options, struct shards **out_shards, struct error *error)
{
	struct shards *shards = memory_new(1, sizeof *shards);
	unsigned count = options->config->shards;

	shards->count = count;
	shards->mailbox = options->mailbox;
	shards->exports = exports_new(count, options->config->nbd_limits.clients);
	shards->lines = memory_new(options->config->peer_count + 1, sizeof *shards->lines);
	placement_init(&shards->placement, count);
	list_init(&shards->expected);
	list_init(&shards->held);
	for (unsigned i = count; i-- > 0;) {
		struct shard_options one = {
			.config = options->config, .directory = options->directory, .run_directory = options->run_directory,
			.tls = options->tls, .mailbox = options->mailbox, .given_sockets = options->given_sockets,
			.index = i, .count = count, .cores = shards->cores, .exports = shards->exports, .lines = shards->lines,
		};

		if (shard_start(&one, &shards->rows[i], error) == 0)
			continue;
		shards_stop(shards, START_LIMIT_MS);
		return error->code;
	}
	*out_shards = shards;
	return 0;
}

void shards_set_tls(struct shards *shards, enum nbd_tls mode, struct tls_credentials *credentials)
{
	for (unsigned i = 0; i < shards->count; i++) {
		if (credentials != NULL)
			tls_credentials_ref(credentials);
		shard_set_tls(shards->rows[i], mode, credentials);
	}
	tls_credentials_unref(credentials);
}

const char *shards_nbd_address(const struct shards *shards)
{
	return shard_nbd_address(shards->rows[0]);
}

const char *shards_nbd_unix(const struct shards *shards)
{
	return shard_nbd_unix(shards->rows[0]);
}

const char *shards_link_address(const struct shards *shards)
{
	return shard_link_address(shards->rows[0]);
}

static int stop_step(struct shards *shards, enum shard_stop_step step, const struct timespec *until)
{
	for (unsigned i = 0; i < shards->count; i++) {
		if (shards->rows[i] != NULL)
			shard_stop_begin(shards->rows[i], step);
	}
	for (unsigned i = 0; i < shards->count; i++) {
		if (shards->rows[i] != NULL && shard_stop_wait(shards->rows[i], until) < 0)
			return -ETIMEDOUT;
	}
	return 0;
}

int shards_stop(struct shards *shards, uint32_t limit_ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until); /* a step of the wall clock must not end the wait */
	until.tv_sec += (limit_ms + 999) / 1000;
	for (enum shard_stop_step step = 0; step < SHARD_STOP_STEPS; step++) {
		if (stop_step(shards, step, &until) < 0)
			return -ETIMEDOUT;
	}
	for (unsigned i = 0; i < shards->count; i++) {
		if (shards->rows[i] != NULL)
			shard_free(shards->rows[i]);
	}
	shards_free(shards);
	return 0;
}
