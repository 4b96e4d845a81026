/* What the commands share: rows of the API's lists, names for ids, waiting. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/table.h"

#define PAGE "100"
#define ROWS_MAX 100000u
#define WAIT_LIMIT_S 86400
#define LOOK_MS 200

bool is_group(const struct invocation *invocation)
{
	return strcmp(invocation->command->noun, "group") == 0;
}

const char *row_text(const json_t *row, const char *key)
{
	const char *text = json_string_value(json_object_get(row, key));

	return text == NULL ? "" : text;
}

uint64_t row_number(const json_t *row, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(row, key));

	return value < 0 ? 0 : (uint64_t)value;
}

/* What is listed, by which action, and where the rows stand in its answer. */
static const struct listing {
	const char *noun, *version, *action, *outer, *inner, *id, *name;
} listings[] = {
	{ "disk", ECS, "DescribeDisks", "Disks", "Disk", "DiskId", "DiskName" },
	{ "pair", EBS, "DescribeDiskReplicaPairs", "ReplicaPairs", NULL, "ReplicaPairId", "PairName" },
	{ "group", EBS, "DescribeDiskReplicaGroups", "ReplicaGroups", NULL, "ReplicaGroupId", "GroupName" },
};

/* Of one of the three nouns. */
static const struct listing *listing_of(const char *noun)
{
	size_t i = 0;

	while (i + 1 < sizeof listings / sizeof listings[0] && strcmp(listings[i].noun, noun) != 0)
		i++;
	return &listings[i];
}

json_t *rows_of(struct invocation *invocation, const char *noun, struct error *error)
{
	const struct listing *listing = listing_of(noun);
	char region[64], zone[64], page[16];
	json_t *all = json_array();
	size_t before;
	unsigned number = 1;

	if (sites_find(invocation, NULL, region, zone, NULL, error) < 0) {
		json_decref(all);
		return NULL;
	}
	do {
		struct parameter parameters[] = { { "RegionId", region }, { "PageSize", PAGE }, { "PageNumber", page },
						  { NULL, NULL } };
		json_t *answer;
		json_t *rows;

		snprintf(page, sizeof page, "%u", number++);
		answer = client_call(invocation->client, listing->version, listing->action, parameters, error);
		if (answer == NULL) {
			json_decref(all);
			return NULL;
		}
		rows = json_object_get(answer, listing->outer);
		if (listing->inner != NULL)
			rows = json_object_get(rows, listing->inner);
		before = json_array_size(all);
		json_array_extend(all, rows);
		json_decref(answer);
	} while (json_array_size(all) - before == (size_t)strtoul(PAGE, NULL, 10) && json_array_size(all) < ROWS_MAX);
	return all;
}

const json_t *row_find(const json_t *rows, const char *noun, const char *name, struct error *error)
{
	const struct listing *listing = listing_of(noun);
	const json_t *found = NULL;
	unsigned count = 0;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);

		if (strcmp(row_text(row, listing->id), name) == 0)
			return row;
		if (strcmp(row_text(row, listing->name), name) == 0) {
			found = row;
			count++;
		}
	}
	if (count == 1)
		return found;
	if (count == 0)
		error_set(error, -ENOENT, "there is no %s \"%s\" here: \"offsite %s list\" shows what there is", noun, name, noun);
	else
		error_set(error, -EEXIST, "%u %ss are called \"%s\": give the id", count, noun, name);
	return NULL;
}

int sites_find(struct invocation *invocation, const char *other, char region[64], char zone[64], char other_region[64],
	       struct error *error)
{
	const struct parameter none[] = { { NULL, NULL } };
	json_t *answer = client_call(invocation->client, EBS, "DescribeRegions", none, error);
	const json_t *regions = json_object_get(answer, "Regions");
	bool found = other == NULL;

	if (answer == NULL)
		return -EPERM;
	for (size_t i = 0; i < json_array_size(regions); i++) {
		const json_t *row = json_array_get(regions, i), *zones = json_object_get(row, "Zones");

		for (size_t j = 0; j < json_array_size(zones); j++) {
			const json_t *one = json_array_get(zones, j);

			if (json_is_true(json_object_get(json_object_get(one, "Offsite"), "Local"))) {
				text_copy(region, 64, row_text(row, "RegionId"));
				text_copy(zone, 64, row_text(one, "ZoneId"));
			}
			if (other != NULL && strcmp(row_text(one, "ZoneId"), other) == 0) {
				text_copy(other_region, 64, row_text(row, "RegionId"));
				found = true;
			}
		}
	}
	json_decref(answer);
	return found ? 0 : error_set(error, -ENOENT, "there is no site \"%s\": \"offsite site list\" shows them", other);
}

void print_json(const json_t *json)
{
	char *text = json_dumps(json, JSON_INDENT(2));

	puts(text);
	free(text);
}

int call_simple(struct invocation *invocation, const char *version, const char *action, const struct parameter *parameters,
		const char *key, struct error *error)
{
	json_t *answer = client_call(invocation->client, version, action, parameters, error);

	if (answer == NULL)
		return -EPERM;
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(answer);
	else if (key != NULL)
		puts(row_text(answer, key));
	json_decref(answer);
	return 0;
}

void pause_for_a_look(void)
{
	struct timespec time = { .tv_nsec = LOOK_MS * 1000000L };

	clock_nanosleep(CLOCK_MONOTONIC, 0, &time, NULL);
}

static bool is_among(const char *state, const char *const *states)
{
	for (; *states != NULL; states++) {
		if (strcmp(state, *states) == 0)
			return true;
	}
	return false;
}

int wait_for(struct invocation *invocation, const char *noun, const char *id, const char *const *states, struct error *error)
{
	static const char *const failed[] = { "invalid", "stop_failed", "failover_failed", "delete_failed", NULL };
	time_t limit = time(NULL) + WAIT_LIMIT_S;
	bool line = isatty(STDERR_FILENO);

	while (time(NULL) < limit) {
		json_t *rows = rows_of(invocation, noun, error);
		struct error gone = { 0 };
		const json_t *row;
		char state[32];

		if (rows == NULL)
			return error->code;
		row = row_find(rows, noun, id, &gone);
		text_copy(state, sizeof state, row == NULL ? "deleted" : row_text(row, "Status"));
		if (is_among(state, failed)) {
			error_set(error, -EIO, "%s %s is %s: %s", noun, id, state, row_text(json_object_get(row, "Offsite"), "Reason"));
			json_decref(rows);
			return -EIO;
		}
		json_decref(rows);
		if (line)
			fprintf(stderr, "\r%s %s: %-20s", noun, id, state);
		if (is_among(state, states)) {
			if (line)
				fputc('\n', stderr);
			return 0;
		}
		pause_for_a_look();
	}
	return error_set(error, -ETIMEDOUT, "%s %s did not get there within a day", noun, id);
}
