/* Disks of all sites in one order: every site is asked for its first ones behind a row, and what they give is put together. A
 * site that does not answer is named, so that nobody takes what is there for all there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "control/internal.h"

#define REPLY_SIZE_MAX (900u * 1024u) /* bytes of rows in one message, below ENGINE_MESSAGE_MAX */

struct finding {
	struct list entry; /* of the control */
	struct control *control;
	void (*on_found)(void *data, const struct control_found *found);
	void *data;
	enum control_disk_order order;
	bool descending;
	size_t limit;
	uint32_t waits_for; /* answers, and one more while they are asked for */
	struct control_found found;
	size_t room;
	json_t *ends; /* ids: the last row of a site that has more; what stands behind it is not complete */
};

/* --- order --- */

static int compare_numbers(uint64_t left, uint64_t right)
{
	return left < right ? -1 : left > right;
}

/* What rows and records are compared by; borrowed from them. */
struct disk_key {
	const char *id, *name;
	uint64_t size, created_s;
};

static struct disk_key row_key(const struct control_disk *row)
{
	return (struct disk_key){ row->id, row->name, row->size, row->created_s };
}

static struct disk_key record_key(const struct disk_record *disk)
{
	return (struct disk_key){ disk->id, disk->name, disk->size, disk->created_s };
}

/* Of no two disks the same: the id decides in the end. */
static int disk_compare(enum control_disk_order order, struct disk_key left, struct disk_key right)
{
	int result = 0;

	if (order == CONTROL_BY_NAME)
		result = strcmp(left.name, right.name);
	else if (order == CONTROL_BY_SIZE)
		result = compare_numbers(left.size, right.size);
	if (result == 0 && order != CONTROL_BY_ID)
		result = compare_numbers(left.created_s, right.created_s);
	return result != 0 ? result : strcmp(left.id, right.id);
}

static int finding_compare(const void *left, const void *right, void *data)
{
	const struct finding *finding = data;
	int result = disk_compare(finding->order, row_key(left), row_key(right));

	return finding->descending ? -result : result;
}

/* --- one site's --- */

static bool is_wanted(const struct control_disk_query *query, const struct disk_record *disk)
{
	return (query->name == NULL || strcmp(disk->name, query->name) == 0) &&
	       (query->instance == NULL || strcmp(disk->instance, query->instance) == 0) &&
	       (query->state < 0 || disk->state == (uint64_t)query->state) &&
	       (query->tags == NULL || tags_match(disk->tags, query->tags));
}

static bool is_behind(const struct control_disk_query *query, const struct disk_record *disk)
{
	int result = query->after == NULL ? 0 : disk_compare(query->order, record_key(disk), row_key(query->after));

	return query->after == NULL || (query->descending ? result < 0 : result > 0);
}

static int record_compare(const void *left, const void *right, void *data)
{
	const struct control_disk_query *query = data;
	const struct disk_record *const *a = left, *const *b = right;
	int result = disk_compare(query->order, record_key(*a), record_key(*b));

	return query->descending ? -result : result;
}

/* The records of this site that the query wants, in its order; on the heap. */
static struct disk_record **own_records(struct control *control, const struct control_disk_query *query, size_t *out_count)
{
	struct disk_record **records = memory_new(query->id != NULL ? 1 : control->disks.count, sizeof(struct disk_record *));
	struct control_disk_query order = *query; /* qsort_r wants one that could be changed */
	struct disk_record *disk;

	*out_count = 0;
	if (query->id != NULL) {
		disk = disk_find(control, query->id);
		if (disk != NULL && is_wanted(query, disk))
			records[(*out_count)++] = disk;
		return records;
	}
	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		if (is_wanted(query, disk) && is_behind(query, disk))
			records[(*out_count)++] = disk;
	}
	if (*out_count > 1)
		qsort_r(records, *out_count, sizeof(struct disk_record *), record_compare, &order);
	return records;
}

/* --- putting together --- */

static struct control_disk *finding_row(struct finding *finding)
{
	struct control_found *found = &finding->found;

	if (found->count == finding->room) {
		finding->room = finding->room == 0 ? 16 : 2 * finding->room;
		found->disks = memory_resize(found->disks, finding->room, sizeof *found->disks);
	}
	memset(&found->disks[found->count], 0, sizeof *found->disks);
	return &found->disks[found->count++];
}

static void finding_free(struct finding *finding, size_t rows)
{
	for (size_t i = 0; i < rows; i++)
		json_decref(finding->found.disks[i].tags);
	list_remove(&finding->entry);
	json_decref(finding->ends);
	free(finding->found.disks);
	free(finding);
}

void findings_unload(struct control *control)
{
	list_for_each(entry, &control->findings) {
		struct finding *finding = container_of(entry, struct finding, entry);

		finding_free(finding, finding->found.count);
	}
}

static void finding_end(struct finding *finding)
{
	struct control_found *found = &finding->found;
	size_t given = found->count;

	if (found->count > 1)
		qsort_r(found->disks, found->count, sizeof *found->disks, finding_compare, finding);
	for (size_t i = 0; i < found->count && i < finding->limit; i++) {
		if (json_object_get(finding->ends, found->disks[i].id) == NULL)
			continue;
		found->more = true;
		found->count = i + 1;
	}
	if (found->count > finding->limit) {
		found->more = true;
		found->count = finding->limit;
	}
	finding->on_found(finding->data, found);
	finding_free(finding, given);
}

static void finding_release(struct finding *finding)
{
	if (--finding->waits_for == 0)
		finding_end(finding);
}

static void add_own(struct finding *finding, const struct control_disk_query *query)
{
	size_t count;
	AUTO_FREE struct disk_record **records = own_records(finding->control, query, &count);

	for (size_t i = 0; i < count && i <= finding->limit; i++) { /* one more tells that there is more */
		struct control_disk *row = finding_row(finding);

		fill_disk(finding->control, records[i], row);
		json_incref(row->tags);
	}
}

/* --- peers --- */

static json_t *question_of(const struct control_disk_query *query)
{
	const struct control_disk *after = query->after;
	json_t *question = json_pack("{s:s, s:i, s:i, s:b, s:i}", "type", "find", "order", query->order, "state", query->state,
				     "descending", query->descending, "limit", (int)query->limit);

	if (query->id != NULL)
		json_object_set_new(question, "id", json_string(query->id));
	if (query->name != NULL)
		json_object_set_new(question, "name", json_string(query->name));
	if (query->instance != NULL)
		json_object_set_new(question, "instance", json_string(query->instance));
	if (query->tags != NULL)
		json_object_set(question, "tags", query->tags);
	if (after != NULL)
		json_object_set_new(question, "after",
				    json_pack("{s:s, s:s, s:I, s:I}", "id", after->id, "name", after->name, "size",
					      (json_int_t)after->size, "created_s", (json_int_t)after->created_s));
	return question;
}

/* `after`: room for the row. */
static bool query_of(const json_t *message, struct control_disk_query *out_query, struct control_disk *after)
{
	json_t *last = json_object_get(message, "after");
	json_int_t order = json_integer_value(json_object_get(message, "order"));
	json_int_t state = json_integer_value(json_object_get(message, "state"));
	json_int_t limit = json_integer_value(json_object_get(message, "limit"));
	struct disk_record record = { 0 };

	*out_query = (struct control_disk_query){
		.id = json_string_value(json_object_get(message, "id")), .name = json_string_value(json_object_get(message, "name")),
		.instance = json_string_value(json_object_get(message, "instance")),
		.tags = json_object_get(message, "tags"), .state = (int)state, .order = (enum control_disk_order)order,
		.descending = json_is_true(json_object_get(message, "descending")), .limit = (size_t)limit,
	};
	if (order < 0 || order >= CONTROL_DISK_ORDERS || state < -1 || state >= DISK_STATES || limit < 1 ||
	    limit > (json_int_t)CONTROL_FIND_MAX || (out_query->tags != NULL && !json_is_object(out_query->tags)))
		return false;
	if (last == NULL)
		return true;
	if (!disk_from_json(last, &record))
		return false;
	json_decref(record.tags);
	memcpy(after->id, record.id, sizeof after->id);
	memcpy(after->name, record.name, sizeof after->name);
	after->size = record.size;
	after->created_s = record.created_s;
	out_query->after = after;
	return true;
}

/* "find": this site's rows for a peer; as many as one message holds. */
void on_find(struct debt *debt, const json_t *message)
{
	struct control *control = debt_control(debt);
	json_t *reply = reply_with(REFUSE_NONE, ""), *rows = json_array();
	struct control_disk_query query;
	struct control_disk after;
	size_t count = 0, size = 0, i;

	if (!query_of(message, &query, &after)) {
		json_decref(rows);
		json_decref(reply);
		debt_pay(debt, REFUSE_BAD_PARAMETER, "the question is damaged");
		return;
	}
	AUTO_FREE struct disk_record **records = own_records(control, &query, &count);

	for (i = 0; i < count && i < query.limit && size < REPLY_SIZE_MAX; i++) {
		const struct replica *pair = replica_of_disk(control, records[i]->id);
		json_t *row = disk_to_json(records[i]);

		if (pair != NULL)
			json_object_set_new(row, "pair", json_string(pair->id));
		if (records[i]->failure[0] != 0)
			json_object_set_new(row, "failure", json_string(records[i]->failure));
		size += json_dumpb(row, NULL, 0, JSON_COMPACT);
		json_array_append_new(rows, row);
	}
	json_object_set_new(reply, "rows", rows);
	json_object_set_new(reply, "more", json_boolean(i < count));
	debt_pay_with(debt, reply);
}

static void add_peers(struct finding *finding, const struct control_site *site, const json_t *reply)
{
	json_t *rows = json_object_get(reply, "rows"), *row;
	size_t index;

	json_array_foreach(rows, index, row) {
		const char *pair = json_string_value(json_object_get(row, "pair"));
		const char *failure = json_string_value(json_object_get(row, "failure"));
		struct control_disk *disk;
		struct disk_record record;

		if (index >= CONTROL_FIND_MAX || json_string_length(json_object_get(row, "id")) == 0 || !disk_from_json(row, &record))
			break;
		disk = finding_row(finding);
		fill_disk(finding->control, &record, disk); /* takes the reference to the tags */
		memcpy(disk->region, site->region, sizeof disk->region);
		memcpy(disk->zone, site->zone, sizeof disk->zone);
		text_copy(disk->pair, sizeof disk->pair, pair == NULL ? "" : pair);
		text_copy(disk->failure, sizeof disk->failure, failure == NULL ? "" : failure);
		if (index + 1 == json_array_size(rows) && json_is_true(json_object_get(reply, "more")))
			json_object_set_new(finding->ends, disk->id, json_true());
	}
}

static void finding_miss(struct finding *finding, const struct control_site *site, enum refusal refusal)
{
	struct control_found *found = &finding->found;

	found->unreached = site;
	found->refusal = refusal;
	snprintf(found->text, sizeof found->text, "site %s, which may have it, %s", site->zone,
		 refusal == REFUSE_PEER_ANSWER ? "gives no answer that is understood" : "does not answer now");
}

struct finding_ask {
	struct finding *finding;
	const struct control_site *site;
};

static void on_peer_found(struct control *control, void *data, const json_t *reply)
{
	struct finding_ask *ask = data;
	struct finding *finding = ask->finding;
	enum refusal refusal;
	char text[256];

	(void)control;
	refusal = reply_refusal(reply, text);
	if (refusal == REFUSE_NONE)
		add_peers(finding, ask->site, reply);
	else
		finding_miss(finding, ask->site, refusal == REFUSE_PEER_ANSWER ? refusal : REFUSE_PEER_UNREACHABLE);
	free(ask);
	finding_release(finding);
}

void control_find_disks(struct control *control, const struct control_disk_query *query,
			void (*on_found)(void *data, const struct control_found *found), void *data)
{
	struct finding *finding = memory_new(1, sizeof *finding);

	*finding = (struct finding){ .control = control, .on_found = on_found, .data = data, .order = query->order,
				     .descending = query->descending, .limit = query->limit, .waits_for = 1,
				     .ends = json_object() };
	list_append(&control->findings, &finding->entry);
	if (query->zone == NULL || strcmp(query->zone, control->config.site.zone) == 0)
		add_own(finding, query);
	for (size_t i = 0; i < control->config.peer_count; i++) {
		const struct peer *peer = &control->peers[i];
		struct finding_ask *ask;

		if ((query->zone != NULL && strcmp(query->zone, peer->site.zone) != 0) ||
		    (query->id != NULL && finding->found.count > 0))
			continue;
		if (!peer->linked) {
			finding_miss(finding, &peer->site, REFUSE_PEER_UNREACHABLE);
			continue;
		}
		ask = memory_new(1, sizeof *ask);
		*ask = (struct finding_ask){ .finding = finding, .site = &peer->site };
		finding->waits_for++;
		ask_for_call(control, peer->site.zone, question_of(query), on_peer_found, ask);
	}
	finding_release(finding);
}
