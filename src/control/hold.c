#ifndef OFFSITE_HOLD
#define OFFSITE_HOLD /* built with the option alone; analysers see it in any build */
#endif
#include "control/hold.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#define LATE_MS 300u

struct held {
	struct list entry;
	enum pair_state state;
	struct shard_command command;
	json_t *question; /* NULL: a command */
	char zone[CONTROL_ID_SIZE];
	command_done *on_done;
	ask_done *on_reply;
	void *data;
};

static struct list all = { &all, &all }; /* of struct held, in their order */
static bool passing; /* what was held goes its way */

/* Does the file say this word of this state? */
static bool is_asked(const char *word, enum pair_state state)
{
	const char *path = getenv("OFFSITE_HOLD");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	char said[32], name[32];
	bool asked = false;

	while (file != NULL && !asked && fscanf(file, "%31s %31s", said, name) == 2)
		asked = strcmp(said, word) == 0 && strcmp(name, pair_state_name(state)) == 0;
	if (file != NULL)
		fclose(file);
	return asked;
}

static struct held *hold(enum pair_state state, const char *id, void *data)
{
	struct held *held;

	if (passing || (!is_asked("hold", state) && !is_asked("fail", state) && !is_asked("late", state)))
		return NULL;
	held = memory_new(1, sizeof *held);
	held->state = state;
	held->data = data;
	list_init(&held->entry);
	list_append(&all, &held->entry);
	log_event(LOG_INFO, "hold.held", "id=%s state=%s", id, pair_state_name(state));
	return held;
}

bool hold_command(struct control *control, const struct shard_command *command, command_done *on_done, void *data)
{
	bool of_unit = command->kind >= SHARD_UNIT_OPEN && command->kind <= SHARD_UNIT_REMOVE;
	const struct replica *replica = of_unit ? unit_owner(control, command->u.unit.id) : NULL;
	struct held *held = replica == NULL ? NULL : hold((enum pair_state)replica->state, replica->id, data);

	if (held == NULL)
		return false;
	held->command = *command;
	held->on_done = on_done;
	return true;
}

bool hold_question(struct control *control, const char *zone, json_t *question, ask_done *on_reply, void *data)
{
	const char *type = json_string_value(json_object_get(question, "type"));
	const char *id = json_string_value(json_object_get(json_object_get(question, "replica"), "id"));
	bool creates = type != NULL && id != NULL && strcmp(type, "prepare") == 0;
	struct held *held = creates ? hold(PAIR_CREATING, id, data) : NULL;

	(void)control;
	if (held == NULL)
		return false;
	held->question = question;
	text_copy(held->zone, sizeof held->zone, zone);
	held->on_reply = on_reply;
	return true;
}

/* As the shard would answer, which takes what comes with the command. */
static void fail(struct control *control, struct held *held)
{
	const struct error told = { .code = -EIO, .text = "told to fail by a test" };

	if (held->command.kind == SHARD_UNIT_OPEN)
		free(held->command.u.unit.spec);
	if (held->on_done != NULL)
		held->on_done(control, held->data, &told);
}

void hold_tick(struct control *control)
{
	list_for_each(entry, &all) {
		struct held *held = container_of(entry, struct held, entry);

		if (is_asked("hold", held->state))
			continue;
		list_remove(&held->entry);
		passing = true;
		if (held->question != NULL)
			ask_peer(control, held->zone, held->question, held->on_reply, held->data);
		else if (!is_asked("fail", held->state))
			send_command(control, &held->command, held->on_done, held->data);
		else
			fail(control, held);
		passing = false;
		for (uint64_t end = control_now_ms() + LATE_MS; is_asked("late", held->state) && control_now_ms() < end;)
			;
		free(held);
	}
}
