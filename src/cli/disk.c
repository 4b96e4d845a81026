/* offsite disk ... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

#define GIB (UINT64_C(1) << 30)
#define EXPORT_LOOKS 50u /* 10 seconds */

static void print_disk(const json_t *row)
{
	const json_t *more = json_object_get(row, "Offsite"), *uris = json_object_get(more, "NbdUris");
	char size[32];

	printf("disk      %s\nname      %s\nstate     %s\nsize      %s\nattached  %s\npair      %s\ncache     %s\n"
	       "bytes in  %s (%s)\n",
	       row_text(row, "DiskId"), row_text(row, "DiskName"), row_text(row, "Status"),
	       text_size(row_number(more, "SizeBytes"), size), row_text(row, "InstanceId"), row_text(more, "PairId"),
	       row_text(more, "Cache"), row_text(more, "Path"), row_text(more, "Kind"));
	for (size_t i = 0; i < json_array_size(uris); i++)
		printf("NBD       %s\n", json_string_value(json_array_get(uris, i)));
	uris = json_object_get(more, "DivergedNbdUris");
	for (size_t i = 0; i < json_array_size(uris); i++)
		printf("as it was %s\n", json_string_value(json_array_get(uris, i)));
	if (row_text(more, "Failure")[0] != 0)
		printf("FAILED    %s\n", row_text(more, "Failure"));
}

static void print_disks(const json_t *rows)
{
	static const char *const headings[] = { "DISK", "NAME", "SIZE", "STATE", "ATTACHED TO", "PAIR", NULL };
	struct table table;
	char size[32];

	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i), *more = json_object_get(row, "Offsite");

		table_add(&table, "%s", row_text(row, "DiskId"));
		table_add(&table, "%s", row_text(row, "DiskName"));
		table_add(&table, "%s", text_size(row_number(more, "SizeBytes"), size));
		table_add(&table, "%s", row_text(more, "Failure")[0] != 0 ? "FAILED" : row_text(row, "Status"));
		table_add(&table, "%s", row_text(row, "InstanceId"));
		table_add(&table, "%s", row_text(more, "PairId"));
	}
	table_print(&table, stdout);
}

int run_disk_list(struct invocation *invocation, struct error *error)
{
	json_t *rows = rows_of(invocation, "disk", error);
	const json_t *row = NULL;

	if (rows == NULL)
		return -EPERM;
	if (invocation->argument_count > 0) {
		row = row_find(rows, "disk", invocation->arguments[0], error);
		if (row == NULL) {
			json_decref(rows);
			return -ENOENT;
		}
	}
	if (invocation->options[OPTION_JSON] != NULL)
		print_json(row != NULL ? row : rows);
	else if (row != NULL)
		print_disk(row);
	else
		print_disks(rows);
	json_decref(rows);
	return 0;
}

int run_disk_create(struct invocation *invocation, struct error *error)
{
	const char *size = invocation->options[OPTION_SIZE], *path = invocation->options[OPTION_ADOPT];
	char region[64], zone[64], bytes[32] = "";

	if (size == NULL && path == NULL)
		return error_set(error, -EINVAL, "give --size, as 10G or 512M, or --adopt PATH");
	if (size != NULL && text_parse_size(size) == 0)
		return error_set(error, -EINVAL, "\"%s\" is no size: write 10G, 512M, or a number of bytes", size);
	if (size != NULL)
		snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)text_parse_size(size));
	if (sites_find(invocation, NULL, region, zone, NULL, error) < 0)
		return -EPERM;
	return call_simple(invocation, ECS, "CreateDisk", (struct parameter[]){
		{ "RegionId", region }, { "ZoneId", zone }, { "OffsiteSizeBytes", bytes }, { "OffsitePath", path },
		{ "OffsiteCache", invocation->options[OPTION_CACHE] }, { "DiskName", invocation->options[OPTION_NAME] },
		{ NULL, NULL } }, "DiskId", error);
}

/* Where the disk is reached, a line each, once its export is open. */
static int print_export(struct invocation *invocation, const char *id, struct error *error)
{
	for (unsigned looks = 0; looks < EXPORT_LOOKS; looks++) {
		json_t *rows = rows_of(invocation, "disk", error);
		const json_t *row = rows == NULL ? NULL : row_find(rows, "disk", id, error);
		const json_t *uris = json_object_get(json_object_get(row, "Offsite"), "NbdUris");
		bool open = strcmp(row_text(row, "Status"), "In_use") == 0;

		for (size_t i = 0; open && i < json_array_size(uris); i++)
			puts(json_string_value(json_array_get(uris, i)));
		if (open && json_array_size(uris) == 0)
			fprintf(stderr, "offsite: it is attached, but section [nbd] of offsite.conf turns NBD off\n");
		json_decref(rows);
		if (open || row == NULL)
			return open ? 0 : -ENOENT;
		pause_for_a_look();
	}
	return error_set(error, -ETIMEDOUT, "disk %s does not open its export: \"offsite disk show %s\" says more", id, id);
}

int run_disk_change(struct invocation *invocation, struct error *error)
{
	const char *action = invocation->command->action, *size = invocation->options[OPTION_SIZE];
	const char *instance = invocation->options[OPTION_INSTANCE];
	char gib[32] = "", region[64], zone[64];
	json_t *rows;
	const json_t *row;
	int result;

	if (strcmp(action, "ResizeDisk") == 0) {
		if (text_parse_size(size) == 0 || text_parse_size(size) % GIB != 0)
			return error_set(error, -EINVAL, "\"%s\" is no size to grow to: write whole GiB, as 20G", size);
		snprintf(gib, sizeof gib, "%llu", (unsigned long long)(text_parse_size(size) / GIB));
	}
	if (sites_find(invocation, NULL, region, zone, NULL, error) < 0)
		return -EPERM;
	rows = rows_of(invocation, "disk", error);
	row = rows == NULL ? NULL : row_find(rows, "disk", invocation->arguments[0], error);
	if (row == NULL) {
		json_decref(rows);
		return -ENOENT;
	}
	if (instance == NULL)
		instance = row_text(row, "InstanceId");
	if (strcmp(action, "DetachDisk") == 0 && instance[0] == 0)
		result = error_set(error, -EPERM, "disk %s is not attached", row_text(row, "DiskId"));
	else
		result = call_simple(invocation, ECS, action, (struct parameter[]){
			{ "RegionId", region }, { "DiskId", row_text(row, "DiskId") }, { "InstanceId", instance },
			{ "NewSize", gib }, { "OffsiteCache", invocation->options[OPTION_CACHE] }, { NULL, NULL } }, NULL, error);
	if (result == 0 && strcmp(action, "AttachDisk") == 0 && invocation->options[OPTION_JSON] == NULL)
		result = print_export(invocation, row_text(row, "DiskId"), error);
	json_decref(rows);
	return result;
}
