/* Pairs and groups, sorted and by pages: a walk over all gathers what sorting needs, then only the page's rows are read. */
#include <stdlib.h>
#include <string.h>

#include "api/huawei/internal.h"
#include "base/memory.h"

#define ROWS_AT_ONCE 100u /* a row is some kilobytes */

struct gathering {
	const struct huawei_listing *listing;
	struct control_brief *briefs; /* whose texts are control's own: nothing changes it meanwhile */
	size_t count, room;
};

static void on_brief(void *data, const struct control_brief *brief)
{
	struct gathering *gathering = data;

	if (!gathering->listing->is_wanted(gathering->listing->data, brief))
		return;
	if (gathering->count == gathering->room) {
		gathering->room = gathering->room == 0 ? 64 : 2 * gathering->room;
		gathering->briefs = memory_resize(gathering->briefs, gathering->room, sizeof(struct control_brief));
	}
	gathering->briefs[gathering->count++] = *brief;
}

static int compare_numbers(uint64_t left, uint64_t right)
{
	return left < right ? -1 : left > right;
}

static int compare_briefs(const void *left, const void *right, void *data)
{
	const struct huawei_listing *listing = data;
	const struct control_brief *a = left, *b = right;
	int result = 0;

	if (listing->order == HUAWEI_BY_UPDATE)
		result = compare_numbers(a->updated_s, b->updated_s);
	else if (listing->order == HUAWEI_BY_NAME)
		result = strcmp(a->name, b->name);
	else if (listing->order == HUAWEI_BY_STATE)
		result = strcmp(pair_state_name(a->state), pair_state_name(b->state));
	if (result == 0 && listing->order != HUAWEI_BY_ID)
		result = compare_numbers(a->created_s, b->created_s);
	if (result == 0)
		result = strcmp(a->id, b->id);
	return listing->descending ? -result : result;
}

bool huawei_page(struct huawei *huawei, const struct huawei_listing *listing, struct huawei_page *out_page)
{
	struct gathering gathering = { .listing = listing };
	struct huawei_listing order = *listing;
	size_t first = listing->offset;
	bool found = listing->marker == NULL;

	*out_page = (struct huawei_page){ 0 };
	control_each(huawei->control, listing->is_group, on_brief, &gathering);
	if (gathering.count > 1)
		qsort_r(gathering.briefs, gathering.count, sizeof(struct control_brief), compare_briefs, &order);
	for (size_t i = 0; !found && i < gathering.count; i++) {
		found = strcmp(gathering.briefs[i].id, listing->marker) == 0;
		if (found)
			first = i + 1 + listing->offset;
	}
	out_page->total = gathering.count;
	out_page->ids = memory_new(1 + listing->limit, sizeof(out_page->ids[0]));
	for (size_t i = first; found && i < gathering.count && out_page->count < listing->limit; i++)
		memcpy(out_page->ids[out_page->count++], gathering.briefs[i].id, strlen(gathering.briefs[i].id) + 1);
	free(gathering.briefs);
	if (!found)
		free(out_page->ids);
	return found;
}

/* The filter for at most ROWS_AT_ONCE ids of a page, from `first` on; `ids` has room for them. */
static struct control_filter filter_of(const struct huawei_page *page, size_t first, const char *ids[ROWS_AT_ONCE])
{
	struct control_filter filter = { .ids = ids, .state = -1, .count = ROWS_AT_ONCE };

	while (filter.id_count < ROWS_AT_ONCE && first + filter.id_count < page->count) {
		ids[filter.id_count] = page->ids[first + filter.id_count];
		filter.id_count++;
	}
	return filter;
}

json_t *huawei_pair_rows(struct huawei *huawei, const struct huawei_page *page,
			 json_t *(*make)(struct huawei *huawei, const struct control_pair *pair))
{
	const char *ids[ROWS_AT_ONCE];
	json_t *rows = json_array();

	for (size_t first = 0; first < page->count; first += ROWS_AT_ONCE) {
		const struct control_filter filter = filter_of(page, first, ids);
		struct control_list list;

		control_list_pairs(huawei->control, &filter, &list);
		for (size_t i = 0; i < list.count; i++)
			json_array_append_new(rows, make(huawei, &list.pairs[i]));
		control_list_free(&list);
	}
	return rows;
}

json_t *huawei_group_rows(struct huawei *huawei, const struct huawei_page *page,
			  json_t *(*make)(struct huawei *huawei, const struct control_group *group))
{
	const char *ids[ROWS_AT_ONCE];
	json_t *rows = json_array();

	for (size_t first = 0; first < page->count; first += ROWS_AT_ONCE) {
		const struct control_filter filter = filter_of(page, first, ids);
		struct control_list list;

		control_list_groups(huawei->control, &filter, &list);
		for (size_t i = 0; i < list.count; i++)
			json_array_append_new(rows, make(huawei, &list.groups[i]));
		control_list_free(&list);
	}
	return rows;
}

bool huawei_find_pair(struct control *control, const char *id, struct control_pair *out_pair)
{
	const struct control_filter filter = { .ids = &id, .id_count = 1, .state = -1, .count = 1 };
	struct control_list list;
	bool found;

	control_list_pairs(control, &filter, &list);
	found = list.count == 1;
	if (found)
		*out_pair = list.pairs[0];
	control_list_free(&list);
	return found;
}

bool huawei_find_group(struct control *control, const char *id, struct control_group *out_group)
{
	const struct control_filter filter = { .ids = &id, .id_count = 1, .state = -1, .count = 1 };
	struct control_list list;
	bool found;

	control_list_groups(control, &filter, &list);
	found = list.count == 1;
	if (found) {
		*out_group = list.groups[0];
		list.groups[0].pairs = NULL; /* theirs now */
	}
	control_list_free(&list);
	return found;
}
