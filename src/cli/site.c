/* offsite site ... */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/command.h"
#include "cli/table.h"

int run_site_limit(struct invocation *invocation, struct error *error)
{
	const char *rate = invocation->options[OPTION_RATE];
	char bytes[32];

	if (strcmp(rate, "0") != 0 && text_parse_size(rate) == 0)
		return error_set(error, -EINVAL, "\"%s\" is no rate: write 10M, 512K, a number of bytes, or 0 for no limit", rate);
	snprintf(bytes, sizeof bytes, "%llu", (unsigned long long)text_parse_size(rate));
	return call_simple(invocation, EBS, "ModifyOffsitePeer", (struct parameter[]){
		{ "ZoneId", invocation->arguments[0] }, { "BytesPerSecond", bytes }, { NULL, NULL } }, NULL, error);
}

int run_site_list(struct invocation *invocation, struct error *error)
{
	static const char *const headings[] = { "SITE", "REGION", "", "LIMIT", NULL };
	const struct parameter none[] = { { NULL, NULL } };
	json_t *answer;
	const json_t *regions;
	struct table table;
	char limit[32];

	if (invocation->options[OPTION_JSON] != NULL)
		return call_simple(invocation, EBS, "DescribeRegions", none, NULL, error);
	answer = client_call(invocation->client, EBS, "DescribeRegions", none, error);
	if (answer == NULL)
		return -EPERM;
	regions = json_object_get(answer, "Regions");
	table_init(&table, headings);
	for (size_t i = 0; i < json_array_size(regions); i++) {
		const json_t *region = json_array_get(regions, i), *zones = json_object_get(region, "Zones");

		for (size_t j = 0; j < json_array_size(zones); j++) {
			const json_t *zone = json_array_get(zones, j), *more = json_object_get(zone, "Offsite");

			table_add(&table, "%s", row_text(zone, "ZoneId"));
			table_add(&table, "%s", row_text(region, "RegionId"));
			table_add(&table, "%s", json_is_true(json_object_get(more, "Local")) ? "this site" :
				  json_is_true(json_object_get(more, "Linked")) ? "linked" : "NOT LINKED: offsited's log says why");
			if (row_number(more, "BytesPerSecond") > 0)
				table_add(&table, "%s/s", text_size(row_number(more, "BytesPerSecond"), limit));
			else
				table_add(&table, "%s", "");
		}
	}
	table_print(&table, stdout);
	json_decref(answer);
	return 0;
}
