/* Commands: one row each, from which parsing and every --help come. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/client.h"

#define OPTION_LIST(X) \
	X(DIR, "dir", "DIR", "the daemon's data folder (OFFSITE_DIR; /var/lib/offsite)") \
	X(ENDPOINT, "endpoint", "URL", "the API's address, if not that of the credentials") \
	X(JSON, "json", NULL, "print the API's answer as it is") \
	X(WAIT, "wait", NULL, "wait until it is done") \
	X(ONCE, "once", NULL, "watch: one look, then end") \
	X(NAME, "name", "NAME", "a name for people") \
	X(SIZE, "size", "SIZE", "10G, 512M or bytes") \
	X(ADOPT, "adopt", "PATH", "use this raw file or block device in place") \
	X(INSTANCE, "instance", "ID", "the machine it is for, i-...") \
	X(DISK, "disk", "DISK", "the primary disk, here") \
	X(TO, "to", "ZONE", "the other site") \
	X(TO_DISK, "to-disk", "DISK", "the id of the secondary disk, there") \
	X(RPO, "rpo", "SECONDS", "how old the copy may be") \
	X(CANCEL, "cancel", NULL, "back to the original direction: what the survivor wrote is given up") \
	X(ONE_SHOT, "one-shot", NULL, "copy once, then stop") \
	X(CACHE, "cache", "MODE", "none or writeback: past or through the kernel's cache") \
	X(RATE, "rate", "SIZE", "bytes a second, as 10M; 0 for no limit") \
	X(USER, "user", "USER", "whose key") \
	X(COMMENT, "comment", "TEXT", "for people") \
	X(FILE, "file", "PATH", "a policy, JSON; - for the standard input") \
	X(HELP, "help", NULL, "this text")

enum option_id {
#define X(id, name, value, help) OPTION_##id,
	OPTION_LIST(X)
#undef X
	OPTIONS,
};

struct invocation {
	const struct command *command;
	struct client *client;
	const char *options[OPTIONS]; /* "" for a flag that was given; NULL: not given */
	const char *arguments[3];
	int argument_count;
};

struct command {
	const char *noun, *verb;
	const char *arguments; /* for people: "DISK", "GROUP PAIR", "" */
	int argument_count;
	unsigned needed;       /* bits of enum option_id that must be given */
	unsigned options;      /* and that may be, beside the global ones */
	const char *help;
	/* 0, or a negative errno with a sentence. */
	int (*run)(struct invocation *invocation, struct error *error);
	const char *action;    /* of the API, for commands that are one call */
};

extern const struct command commands[];
extern const unsigned command_count;

#define option_bit(id) (1u << OPTION_##id)

/* disk.c, replica.c, site.c, user.c, watch.c */
int run_disk_list(struct invocation *invocation, struct error *error);
int run_disk_create(struct invocation *invocation, struct error *error);
int run_disk_change(struct invocation *invocation, struct error *error);
int run_replica_list(struct invocation *invocation, struct error *error);
int run_pair_create(struct invocation *invocation, struct error *error);
int run_group_create(struct invocation *invocation, struct error *error);
int run_replica_change(struct invocation *invocation, struct error *error);
int run_replica_preview(struct invocation *invocation, struct error *error);
int run_group_member(struct invocation *invocation, struct error *error);
int run_user_list(struct invocation *invocation, struct error *error);
int run_user_change(struct invocation *invocation, struct error *error);
int run_key_list(struct invocation *invocation, struct error *error);
int run_key_create(struct invocation *invocation, struct error *error);
int run_key_change(struct invocation *invocation, struct error *error);
int run_policy_list(struct invocation *invocation, struct error *error);
int run_policy_show(struct invocation *invocation, struct error *error);
int run_policy_create(struct invocation *invocation, struct error *error);
int run_policy_delete(struct invocation *invocation, struct error *error);
int run_site_limit(struct invocation *invocation, struct error *error);
int run_site_list(struct invocation *invocation, struct error *error);
int run_watch(struct invocation *invocation, struct error *error);

/* lookup.c: what the commands share */
bool is_group(const struct invocation *invocation);
/* All rows of "disk", "pair" or "group"; released by json_decref; NULL with a sentence. */
json_t *rows_of(struct invocation *invocation, const char *noun, struct error *error);
/* The row with this id, or else with this name, if there is one only. Borrows from `rows`. */
const json_t *row_find(const json_t *rows, const char *noun, const char *name, struct error *error);
const char *row_text(const json_t *row, const char *key);
uint64_t row_number(const json_t *row, const char *key);
/* This site's region and zone, and those of `other` (NULL: not wanted). */
int sites_find(struct invocation *invocation, const char *other, char region[64], char zone[64], char other_region[64],
	       struct error *error);
/* A call whose answer only matters if it is a refusal, or holds the id under `key`. */
int call_simple(struct invocation *invocation, const char *version, const char *action, const struct parameter *parameters,
		const char *key, struct error *error);
void print_json(const json_t *json);
/* Between two looks at what changes. */
void pause_for_a_look(void);
/* Prints one progress line over the last, on a terminal. */
int wait_for(struct invocation *invocation, const char *noun, const char *id, const char *const *states, struct error *error);

#endif
