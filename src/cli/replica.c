/* offsite pair ..., offsite group ... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

static const char *id_key(const struct invocation *invocation)
{
	return is_group(invocation) ? "ReplicaGroupId" : "ReplicaPairId";
}

/* How old the recovery point is, or `none`. */
static const char *age_of(const json_t *row, const char *none, char out[32])
{
	const json_t *more = json_object_get(row, "Offsite");

	if (row_number(more, "RecoveryEpoch") == 0)
		return none;
	return text_age(row_number(more, "RecoveryAgeMs"), out);
}

static void print_rows(const struct invocation *invocation, const json_t *rows)
{
	static const char *const headings[] = { "ID", "NAME", "STATE", "FROM", "TO", "RPO", "RECOVERY POINT", "MESSAGE", NULL };
	struct table table;
	char age[32];

	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		table_add(&table, "%s", row_text(row, id_key(invocation)));
		table_add(&table, "%s", row_text(row, is_group(invocation) ? "GroupName" : "PairName"));
		table_add(&table, "%s", row_text(row, "Status"));
		table_add(&table, "%s", row_text(row, "SourceZoneId"));
		table_add(&table, "%s", row_text(row, "DestinationZoneId"));
		table_add(&table, "%llu s", (unsigned long long)row_number(row, "RPO"));
		table_add(&table, "%s", age_of(row, "-", age));
		table_add(&table, "%s", row_text(json_object_get(row, "Offsite"), "Reason"));
	}
	table_print(&table, stdout);
}

static void print_row(const struct invocation *invocation, const json_t *row)
{
	const json_t *more = json_object_get(row, "Offsite"), *pairs = json_object_get(row, "PairIds");
	char age[32], dirty[32], kept[32];

	printf("%-15s %s\nname            %s\nstate           %s\nfrom            %s %s\nto              %s %s\n",
	       invocation->command->noun, row_text(row, id_key(invocation)),
	       row_text(row, is_group(invocation) ? "GroupName" : "PairName"), row_text(row, "Status"),
	       row_text(row, "SourceZoneId"), row_text(row, "SourceDiskId"), row_text(row, "DestinationZoneId"),
	       row_text(row, "DestinationDiskId"));
	printf("RPO             %llu s\nrecovery point  %s\nnot yet there   %s\n", (unsigned long long)row_number(row, "RPO"),
	       age_of(row, "none yet", age), text_size(row_number(more, "DirtyBytes"), dirty));
	for (size_t i = 0; i < json_array_size(pairs); i++)
		printf("pair            %s\n", json_string_value(json_array_get(pairs, i)));
	if (row_text(row, "ReplicaGroupId")[0] != 0 && !is_group(invocation))
		printf("group           %s\n", row_text(row, "ReplicaGroupId"));
	if (strcmp(row_text(more, "Divergence"), "kept") == 0)
		printf("kept aside      %s: what only this site held when it gave up the lead, until \"offsite %s discard\"\n",
		       text_size(row_number(more, "DivergenceBytes"), kept), invocation->command->noun);
	else if (row_text(more, "Divergence")[0] != 0)
		printf("kept aside      nothing any more: it was too large, or could not be written\n");
	if (row_text(more, "Reason")[0] != 0)
		printf("message         %s\n", row_text(more, "Reason"));
}

int run_replica_list(struct invocation *invocation, struct error *error)
{
	json_t *rows = rows_of(invocation, invocation->command->noun, error);
	const json_t *row = NULL;

	if (rows == NULL)
		return -EPERM;
	if (invocation->argument_count > 0) {
		row = row_find(rows, invocation->command->noun, invocation->arguments[0], error);
		if (row == NULL) {
			json_decref(rows);
			return -ENOENT;
		}
	}
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(row != NULL ? row : rows);
	else if (row != NULL)
		print_row(invocation, row);
	else
		print_rows(invocation, rows);
	json_decref(rows);
	return 0;
}

int run_pair_create(struct invocation *invocation, struct error *error)
{
	const char *const *options = invocation->options;
	char region[64], zone[64], other[64];
	json_t *rows;
	const json_t *row;
	int result = -ENOENT;

	if (strncmp(options[OPTION_TO_DISK], "d-", 2) != 0)
		return error_set(error, -EINVAL, "\"%s\" is no disk id: \"offsite disk list\" at %s shows the ids there, d-...",
				 options[OPTION_TO_DISK], options[OPTION_TO]);
	if (sites_find(invocation, options[OPTION_TO], region, zone, other, error) < 0)
		return -EPERM;
	rows = rows_of(invocation, "disk", error);
	row = rows == NULL ? NULL : row_find(rows, "disk", options[OPTION_DISK], error);
	if (row != NULL)
		result = call_simple(invocation, EBS, "CreateDiskReplicaPair", (struct parameter[]){
			{ "RegionId", region }, { "SourceZoneId", zone }, { "DiskId", row_text(row, "DiskId") },
			{ "DestinationRegionId", other }, { "DestinationZoneId", options[OPTION_TO] },
			{ "DestinationDiskId", options[OPTION_TO_DISK] }, { "RPO", options[OPTION_RPO] },
			{ "PairName", options[OPTION_NAME] }, { NULL, NULL } }, "ReplicaPairId", error);
	json_decref(rows);
	return result;
}

int run_group_create(struct invocation *invocation, struct error *error)
{
	const char *const *options = invocation->options;
	char region[64], zone[64], other[64];

	if (sites_find(invocation, options[OPTION_TO], region, zone, other, error) < 0)
		return -EPERM;
	return call_simple(invocation, EBS, "CreateDiskReplicaGroup", (struct parameter[]){
		{ "RegionId", region }, { "SourceZoneId", zone }, { "DestinationRegionId", other },
		{ "DestinationZoneId", options[OPTION_TO] }, { "RPO", options[OPTION_RPO] },
		{ "GroupName", options[OPTION_NAME] }, { NULL, NULL } }, "ReplicaGroupId", error);
}

/* Where each verb leads. */
static const char *const *states_of(const char *verb, bool one_shot)
{
	static const char *const running[] = { "normal", NULL }, *const stopped[] = { "stopped", NULL };
	static const char *const failed_over[] = { "failovered", NULL }, *const deleted[] = { "deleted", NULL };

	if (strcmp(verb, "reprotect") == 0)
		return stopped;
	if (strcmp(verb, "switchover") == 0)
		return running;
	if (strcmp(verb, "start") == 0)
		return one_shot ? stopped : running;
	return strcmp(verb, "stop") == 0 ? stopped : strcmp(verb, "failover") == 0 ? failed_over : deleted;
}

/* A switchover that was given up leaves the direction as it was. */
static int check_switchover(struct invocation *invocation, const char *id, const char *source_before, struct error *error)
{
	const char *noun = invocation->command->noun;
	json_t *rows = rows_of(invocation, noun, error);
	const json_t *row = rows == NULL ? NULL : row_find(rows, noun, id, error);
	int result = row == NULL ? -ENOENT : 0;

	if (row != NULL && strcmp(row_text(row, "SourceZoneId"), source_before) == 0)
		result = error_set(error, -ECANCELED, "the switchover was given up, nothing has changed: %s",
				   row_text(json_object_get(row, "Offsite"), "Reason"));
	json_decref(rows);
	return result;
}

static void print_cost(const json_t *cost)
{
	const json_t *move = json_object_get(cost, "BytesToMove"), *seconds = json_object_get(cost, "ExpectedSeconds");
	const json_t *aside = json_object_get(cost, "SetAsideBytes");
	const char *zone = row_text(cost, "SetAsideZoneId");
	char size[32], age[32];

	printf("%-15s ", row_text(cost, "Operation"));
	if (move == NULL)
		printf("bytes to move not known");
	else
		printf("%s to move", json_integer_value(move) == 0 ? "nothing" : text_size(row_number(cost, "BytesToMove"), size));
	if (seconds != NULL)
		printf(", about %s", text_age((uint64_t)(json_real_value(seconds) * 1000), age));
	else if (move != NULL)
		printf(", how long is not known: the link has carried too little yet");
	if (zone[0] != 0 && aside == NULL)
		printf("; what only %s holds is set aside: not known how much", zone);
	else if (zone[0] != 0 && row_number(cost, "SetAsideBytes") > 0)
		printf("; %s that only %s holds set aside", text_size(row_number(cost, "SetAsideBytes"), size), zone);
	putchar('\n');
}

static void print_preview(const json_t *answer)
{
	const json_t *costs = json_object_get(answer, "Operations");
	char age[32];

	if (json_object_get(answer, "RecoverPointAgeMs") != NULL)
		printf("recovery point  %s old\n", text_age(row_number(answer, "RecoverPointAgeMs"), age));
	else
		printf("recovery point  none yet\n");
	for (size_t i = 0; i < json_array_size(costs); i++)
		print_cost(json_array_get(costs, i));
	if (json_array_size(costs) == 0)
		printf("in this state no change of sides is allowed\n");
	if (!json_is_true(json_object_get(answer, "PeerAnswered")))
		printf("%s does not answer: what it holds is not known here\n", row_text(answer, "PeerZoneId"));
}

int run_replica_preview(struct invocation *invocation, struct error *error)
{
	json_t *rows = rows_of(invocation, invocation->command->noun, error), *answer = NULL;
	const json_t *row = rows == NULL ? NULL : row_find(rows, invocation->command->noun, invocation->arguments[0], error);

	if (row != NULL)
		answer = client_call(invocation->client, EBS, invocation->command->action, (struct parameter[]){
			{ "RegionId", row_text(row, is_group(invocation) ? "SourceRegionId" : "SourceRegion") },
			{ id_key(invocation), row_text(row, id_key(invocation)) }, { NULL, NULL } }, error);
	json_decref(rows);
	if (answer == NULL)
		return -EPERM;
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(answer);
	else
		print_preview(answer);
	json_decref(answer);
	return 0;
}

/* Waits until both sides have been compared, and says what was found. */
static int wait_scrubbed(struct invocation *invocation, const char *id, struct error *error)
{
	char size[32];

	for (;;) {
		json_t *rows = rows_of(invocation, invocation->command->noun, error);
		const json_t *row = rows == NULL ? NULL : row_find(rows, invocation->command->noun, id, error);
		const json_t *more = json_object_get(row, "Offsite");
		bool busy = json_is_true(json_object_get(more, "Scrubbing"));
		uint64_t differences = row_number(more, "ScrubDifferences"), bytes = row_number(more, "ScrubbedBytes");

		json_decref(rows);
		if (row == NULL)
			return -ENOENT;
		if (!busy && differences > 0)
			return error_set(error, -EIO, "%llu blocks of 4 KiB differed and were repaired: look for \"scrub_difference\" "
					 "in the daemon's log, and at the health of the disks of both sites",
					 (unsigned long long)differences);
		if (!busy) {
			printf("%s compared, both sides are the same\n", text_size(bytes, size));
			return 0;
		}
		pause_for_a_look();
	}
}

int run_replica_change(struct invocation *invocation, struct error *error)
{
	const struct command *command = invocation->command;
	bool one_shot = invocation->options[OPTION_ONE_SHOT] != NULL;
	bool at_secondary = strcmp(command->verb, "failover") == 0 || strcmp(command->verb, "reprotect") == 0;
	json_t *rows = rows_of(invocation, command->noun, error);
	const json_t *row = rows == NULL ? NULL : row_find(rows, command->noun, invocation->arguments[0], error);
	const char *key = at_secondary ? (is_group(invocation) ? "DestinationRegionId" : "DestinationRegion")
				   : (is_group(invocation) ? "SourceRegionId" : "SourceRegion");
	const char *id = row == NULL ? "" : row_text(row, id_key(invocation));
	int result = -ENOENT;

	if (row != NULL)
		result = call_simple(invocation, EBS, command->action, (struct parameter[]){
			{ "RegionId", row_text(row, key) }, { id_key(invocation), id }, { "OneShot", one_shot ? "true" : NULL },
			{ "ReverseReplicate", invocation->options[OPTION_CANCEL] != NULL ? "false" : NULL }, { NULL, NULL } }, NULL, error);
	if (result == 0 && invocation->options[OPTION_WAIT] != NULL && strcmp(command->verb, "scrub") == 0)
		result = wait_scrubbed(invocation, id, error);
	else if (result == 0 && invocation->options[OPTION_WAIT] != NULL)
		result = wait_for(invocation, command->noun, id, states_of(command->verb, one_shot), error);
	if (result == 0 && invocation->options[OPTION_WAIT] != NULL && strcmp(command->verb, "switchover") == 0)
		result = check_switchover(invocation, id, row_text(row, "SourceZoneId"), error);
	json_decref(rows);
	return result;
}

int run_group_member(struct invocation *invocation, struct error *error)
{
	json_t *groups = rows_of(invocation, "group", error), *pairs = groups == NULL ? NULL : rows_of(invocation, "pair", error);
	const json_t *group = pairs == NULL ? NULL : row_find(groups, "group", invocation->arguments[0], error);
	const json_t *pair = group == NULL ? NULL : row_find(pairs, "pair", invocation->arguments[1], error);
	int result = -ENOENT;

	if (pair != NULL)
		result = call_simple(invocation, EBS, invocation->command->action, (struct parameter[]){
			{ "RegionId", row_text(group, "SourceRegionId") },
			{ "ReplicaGroupId", row_text(group, "ReplicaGroupId") },
			{ "ReplicaPairId", row_text(pair, "ReplicaPairId") }, { NULL, NULL } }, NULL, error);
	json_decref(groups);
	json_decref(pairs);
	return result;
}
