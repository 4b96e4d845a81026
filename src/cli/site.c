/* offsite site ... */
#include <errno.h>
#include <stdio.h>

#include "cli/command.h"
#include "cli/table.h"

int run_site_list(struct invocation *invocation, struct error *error)
{
	static const char *const headings[] = { "SITE", "REGION", "", NULL };
	const struct parameter none[] = { { NULL, NULL } };
	json_t *answer;
	const json_t *regions;
	struct table table;

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
		}
	}
	table_print(&table, stdout);
	json_decref(answer);
	return 0;
}
