/* Beginning and end, the tick, and what can be read. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/log.h"
#include "base/hash.h"
#include "base/memory.h"
#include "catalog/catalog.h"
#include "control/hold.h"
#include "control/internal.h"

#define TICK_MS 250u

uint64_t control_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t control_now_s(void)
{
	return (uint64_t)time(NULL);
}

void control_random(void *out, size_t size)
{
	if (getrandom(out, size, 0) != (ssize_t)size)
		abort(); /* short requests are answered whole once the system is up */
}

/* Twenty hexadecimal digits that begin a UUID of version 8 (RFC 9562): a dialect whose ids are UUIDs shows the same digits. */
void control_make_id(const char *prefix, char out[CONTROL_ID_SIZE])
{
	uint8_t random[10];
	size_t at = strlen(prefix);

	memcpy(out, prefix, at);
	control_random(random, sizeof random);
	random[6] = (uint8_t)(0x80 | (random[6] & 0x0f));
	random[8] = (uint8_t)(0x80 | (random[8] & 0x3f));
	hash_to_hex(random, sizeof random, out + at);
}

static int on_token(void *data, const char *id, const char *body, struct error *error)
{
	(void)error;
	token_load(data, id, body); /* a damaged one is as good as none */
	return 0;
}

/* A pair whose creation was cut off before its answer: the peer's half goes by "put" and "no such pair". */
static void forget_unfinished(struct control *control)
{
	struct replica *replica;

	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;) {
		if (replica->state == PAIR_CREATING)
			replica_forget(control, replica, NULL);
	}
}

struct control *control_new(const struct control_config *config, struct catalog *catalog, const struct control_port *port,
			    struct error *error)
{
	struct control *control = memory_new(1, sizeof *control);

	control->config = *config;
	control->catalog = catalog;
	control->port = *port;
	control->peers = memory_new(config->peer_count, sizeof *control->peers);
	for (size_t i = 0; i < config->peer_count; i++)
		control->peers[i].site = config->peers[i];
	list_init(&control->commands);
	list_init(&control->asks);
	list_init(&control->tokens);
	list_init(&control->openings);
	list_init(&control->findings);
	list_init(&control->calls);
	list_init(&control->debts);
	if (record_load(control, error) < 0 || limits_resume(control, error) < 0 ||
	    catalog_each(catalog, "token", on_token, control, error) < 0) {
		control_free(control);
		return NULL;
	}
	forget_unfinished(control);
	disks_resume(control);
	unit_resume_all(control);
	disks_export(control);
	return control;
}

/* What an unfinished step remembers is its own, or the call or the debt that it is for; the step is redone at the next start. */
static void free_remembered(struct control *control, void *data)
{
	list_for_each(entry, &control->calls) {
		struct call *call = container_of(entry, struct call, entry);

		if (call == data) {
			call_free(call);
			return;
		}
	}
	if (!debt_forget(control, data))
		free(data);
}

static void free_waiting(struct control *control, struct list *head)
{
	struct list *entry;

	while ((entry = list_pop(head)) != NULL) {
		struct waiting *waiting = container_of(entry, struct waiting, entry);

		free_remembered(control, waiting->data);
		free(waiting);
	}
}

void control_free(struct control *control)
{
	struct list *entry;

	record_unload(control);
	tokens_unload(control);
	findings_unload(control);
	free_waiting(control, &control->commands);
	free_waiting(control, &control->asks);
	while ((entry = list_pop(&control->openings)) != NULL) {
		free_remembered(control, container_of(entry, struct opening, entry)->data);
		free(container_of(entry, struct opening, entry));
	}
	list_for_each(call, &control->calls)
		call_free(container_of(call, struct call, entry));
	debts_unload(control);
	free(control->peers);
	free(control);
}

uint32_t control_tick(struct control *control)
{
	struct replica *replica;

	if (control_now_ms() < control->tick_ms)
		return peer_expire(control, TICK_MS);
	control->tick_ms = control_now_ms() + TICK_MS;
	tokens_expire(control);
	hold_tick(control);
	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;) {
		if (replica->change == CHANGE_NONE && !replica->stale && replica->state != PAIR_DELETING)
			continue; /* nearly all */
		change_continue(control, replica);
		if (replica->stale)
			unit_close_stale(control, replica);
		unit_delete_continue(control, replica); /* may free it */
	}
	unit_openings_continue(control);
	return peer_expire(control, TICK_MS);
}

const struct control_site *control_this_site(const struct control *control)
{
	return &control->config.site;
}

uint32_t control_pairs_per_group(const struct control *control)
{
	return control->config.pairs_per_group_max;
}

const struct control_site *control_find_site(const struct control *control, const char *zone, bool *out_linked)
{
	*out_linked = strcmp(zone, control->config.site.zone) == 0;
	if (*out_linked)
		return &control->config.site;
	for (size_t i = 0; i < control->config.peer_count; i++) {
		if (strcmp(control->peers[i].site.zone, zone) != 0)
			continue;
		*out_linked = control->peers[i].linked;
		return &control->peers[i].site;
	}
	return NULL;
}

const struct control_site *control_peer(const struct control *control, size_t index, bool *out_linked, uint64_t *out_limit)
{
	if (index >= control->config.peer_count)
		return NULL;
	*out_linked = control->peers[index].linked;
	*out_limit = control->peers[index].limit;
	return &control->peers[index].site;
}
