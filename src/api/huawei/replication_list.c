/* Which pairs or groups a list's query asks for. */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "api/huawei/replication.h"
#include "api/huawei/state.h"
#include "base/text.h"

#define LIMIT_MAX 1000u
#define CODE_LIMIT "EVS.2142"
#define CODE_MARKER "EVS.1024"
#define CODE_SORT "EVS.1039"

struct query {
	const struct huawei *huawei;
	bool is_group;
	const char *name, *status, *station; /* NULL: any */
	int64_t since_s;
	char group[CONTROL_ID_SIZE]; /* of pairs; "" any */
	json_t *disks;    /* of pairs: ids, all of which a pair has to hold; NULL: any */
	json_t *groups;   /* {id: true}: those that hold the disk asked for; NULL: any */
};

/* Two disks are all that a pair holds. */
static bool holds(const struct control_brief *pair, const json_t *disks)
{
	bool holds_all = true;
	const json_t *disk;
	size_t index;

	json_array_foreach(disks, index, disk) {
		const char *id = json_string_value(disk);

		holds_all = holds_all && (strcmp(id, pair->source_disk) == 0 || strcmp(id, pair->destination_disk) == 0);
	}
	return holds_all;
}

static bool is_wanted(void *data, const struct control_brief *brief)
{
	const struct query *query = data;
	uint64_t changed_s = brief->updated_s > brief->created_s ? brief->updated_s : brief->created_s;
	const char *station = replication_station(brief->state, brief->switching, brief->source, brief->destination);

	if ((query->name != NULL && strcmp(query->name, brief->name) != 0) ||
	    (query->station != NULL && strcmp(query->station, station) != 0) || (int64_t)changed_s < query->since_s)
		return false;
	if (query->is_group)
		return (query->groups == NULL || json_object_get(query->groups, brief->id) != NULL) &&
		       (query->status == NULL || strcmp(query->status, huawei_status_of_group(query->huawei, brief)) == 0);
	return (query->group[0] == '\0' || strcmp(query->group, brief->group) == 0) &&
	       (query->disks == NULL || holds(brief, query->disks)) &&
	       (query->status == NULL || strcmp(query->status, huawei_status_of_pair(brief)) == 0);
}

/* --- reading it --- */

/* As created_at is written, with or without its fraction; a Z at the end is as good. */
static bool read_since(struct huawei_call *call, int64_t *out_s)
{
	const char *text = huawei_given(call, "changes-since");
	size_t tail = text == NULL || strlen(text) < 19 ? 0 : 19;
	char whole[24];

	*out_s = INT64_MIN;
	if (text == NULL)
		return true;
	snprintf(whole, sizeof(whole), "%.*sZ", (int)tail, text);
	if (text[tail] == '.')
		tail += 1 + strspn(text + tail + 1, "0123456789");
	tail += text[tail] == 'Z';
	if (text[tail] == '\0' && text_parse_time(whole, out_s))
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, "", "changes-since must be a time: 2026-01-02T03:04:05.");
	return false;
}

static bool read_order(struct huawei_call *call, struct huawei_listing *listing)
{
	static const struct {
		const char *key;
		enum huawei_order order;
	} keys[] = {
		{ "created_at", HUAWEI_BY_CREATION }, { "updated_at", HUAWEI_BY_UPDATE }, { "name", HUAWEI_BY_NAME },
		{ "id", HUAWEI_BY_ID }, { "status", HUAWEI_BY_STATE },
	};
	const char *key = huawei_given(call, "sort_key"), *direction = huawei_given(call, "sort_dir");
	bool known = key == NULL;

	for (size_t i = 0; key != NULL && i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		listing->order = keys[i].order;
		known = true;
	}
	listing->descending = direction == NULL || strcmp(direction, "desc") == 0;
	if (known && (listing->descending || strcmp(direction, "asc") == 0))
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, CODE_SORT,
		    "sort_key must be created_at, updated_at, name, id or status, and sort_dir asc or desc.");
	return false;
}

/* "a,b", of ids: an array of control's. */
static json_t *read_disks(const char *text)
{
	json_t *disks = json_array();

	for (text += strspn(text, ", "); *text != '\0'; text += strspn(text, ", ")) {
		size_t length = strcspn(text, ", ");
		char given[CONTROL_ID_SIZE], id[CONTROL_ID_SIZE];

		snprintf(given, sizeof(given), "%.*s", (int)(length < CONTROL_ID_SIZE ? length : 0), text);
		huawei_id(CONTROL_RESOURCE_DISK, given, id);
		json_array_append_new(disks, json_string(id));
		text += length;
	}
	return disks;
}

static void note_group(void *data, const struct control_brief *pair)
{
	struct query *query = data;

	if (pair->group[0] != '\0' && holds(pair, query->disks))
		json_object_set_new(query->groups, pair->group, json_true());
}

static bool read_query(struct huawei_call *call, struct query *query)
{
	const char *disks = query->is_group ? NULL : huawei_given(call, "volume_ids"), *disk = huawei_given(call, "volume_id");
	const char *group = query->is_group ? NULL : huawei_given(call, "replication_consistency_group_id");

	query->huawei = call->huawei;
	query->name = huawei_given(call, "name");
	query->status = huawei_given(call, "status");
	query->station = huawei_given(call, "priority_station");
	if (group != NULL)
		huawei_id(CONTROL_RESOURCE_GROUP, group, query->group);
	if (disks != NULL || disk != NULL)
		query->disks = read_disks(disks != NULL ? disks : disk);
	if (disks != NULL && disk != NULL) {
		json_t *one = read_disks(disk);

		json_array_extend(query->disks, one);
		json_decref(one);
	}
	if (query->is_group && query->disks != NULL) {
		query->groups = json_object();
		control_each(call->huawei->control, false, note_group, query);
	}
	return read_since(call, &query->since_s);
}

static bool page_of(struct huawei_call *call, struct query *query, struct huawei_page *out_page)
{
	struct huawei_listing listing = { .is_group = query->is_group, .is_wanted = is_wanted, .data = query };
	const char *marker = huawei_given(call, "marker");
	char id[CONTROL_ID_SIZE];

	if (!read_query(call, query) || !read_order(call, &listing) ||
	    !huawei_read_number(call, "limit", 1, LIMIT_MAX, LIMIT_MAX, CODE_LIMIT, &listing.limit) ||
	    !huawei_read_number(call, "offset", 0, INT64_MAX, 0, CODE_LIMIT, &listing.offset))
		return false;
	if (marker != NULL) {
		huawei_id(query->is_group ? CONTROL_RESOURCE_GROUP : CONTROL_RESOURCE_PAIR, marker, id);
		listing.marker = id;
	}
	if (huawei_page(call->huawei, &listing, out_page))
		return true;
	huawei_fail(call, MHD_HTTP_BAD_REQUEST, CODE_MARKER, "marker must be the id of one of those that are listed.");
	return false;
}

bool replication_page(struct huawei_call *call, bool is_group, struct huawei_page *out_page)
{
	struct query query = { .is_group = is_group };
	bool good = page_of(call, &query, out_page);

	json_decref(query.disks);
	json_decref(query.groups);
	return good;
}
