/* Lists of volumes and of attachments, of all sites, page by page.
 *
 * Rows are asked of control/ some at a time, behind the last one seen, until the page is full: what a filter of this dialect (a
 * status that is no state of control's) leaves out is passed over, as is an offset. One call looks at so many rows and no more:
 * then its page stays short, and its link goes on from there. */
#include <stdio.h>
#include <string.h>

#include "api/http/http.h"
#include "api/huawei/volumes.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"

#define PAGE_MAX 1000u
#define OFFSET_MAX 1000000u
#define ROUNDS_MAX 8u /* of CONTROL_FIND_MAX rows */

struct kind {
	const char *root, *links;
	json_t *(*row)(struct huawei_call *call, const struct control_disk *disk);
	bool is_attachments;
};

struct listing {
	const struct kind *kind;
	struct control_disk_query query; /* its texts are borrowed from the request */
	const char *status, *instance;   /* or NULL */
	char volume[CONTROL_ID_SIZE], instance_id[CONTROL_ID_SIZE];
	json_t *tags;
	struct control_disk last;        /* the last row seen, without its tags */
	uint64_t skip, limit;
	json_t *rows;
	uint32_t rounds;
	bool more;
	char unreached[CONTROL_ID_SIZE];
};

static void listing_free(void *state)
{
	struct listing *listing = state;

	json_decref(listing->tags);
	json_decref(listing->rows);
}

/* --- the end --- */

static void write_escaped(FILE *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (strchr("-_.~", *text) != NULL || (*text >= '0' && *text <= '9') || (*text >= 'A' && *text <= 'Z') ||
		    (*text >= 'a' && *text <= 'z'))
			fputc(*text, out);
		else
			fprintf(out, "%%%02X", (unsigned)(unsigned char)*text);
	}
}

/* The request's own address, but for the page. */
static json_t *next_link(const struct huawei_call *call, const struct listing *listing)
{
	char base[256], uuid[HUAWEI_UUID_SIZE];
	AUTO_FREE char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (out == NULL)
		return json_array();
	huawei_base_url(call, base);
	if (listing->kind->is_attachments)
		volume_attachment_uuid(listing->last.id, uuid);
	else
		huawei_uuid(listing->last.id, uuid);
	fprintf(out, "%s%s?marker=%s", base, http_request_path(call->request), uuid);
	if (listing->skip > 0)
		fprintf(out, "&offset=%llu", (unsigned long long)listing->skip);
	for (size_t i = 0; i < http_request_query_count(call->request); i++) {
		const char *name = http_request_parameter_name(call->request, i);

		if (strcmp(name, "marker") == 0 || strcmp(name, "offset") == 0)
			continue;
		fputc('&', out);
		write_escaped(out, name);
		fputc('=', out);
		write_escaped(out, http_request_parameter_value(call->request, i));
	}
	fclose(out);
	return json_pack("[{s:s, s:s}]", "rel", "next", "href", text);
}

static void listing_end(struct huawei_call *call, struct listing *listing)
{
	json_t *body = json_pack("{s:O}", listing->kind->root, listing->rows);

	if (listing->more)
		json_object_set_new(body, listing->kind->links, next_link(call, listing));
	if (listing->unreached[0] != '\0') {
		http_request_answer_header(call->request, "X-Offsite-Unreached", listing->unreached);
		log_event(LOG_INFO, "huawei.list_incomplete", "request=%s unreached=%s", call->request_id, listing->unreached);
	}
	huawei_answer(call, 200, body);
}

/* --- rows --- */

static bool is_wanted(const struct listing *listing, const struct control_disk *disk)
{
	const char *status = listing->kind->is_attachments ? "attached" : volume_status(disk);

	return (listing->status == NULL || strcmp(listing->status, status) == 0) &&
	       (listing->instance == NULL || strcmp(listing->instance, disk->instance) == 0);
}

static void listing_ask(struct huawei_call *call, struct listing *listing);

static void on_found(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	struct listing *listing = call->state;
	size_t i;

	if (found->unreached != NULL)
		text_copy(listing->unreached, sizeof(listing->unreached), found->unreached->zone);
	for (i = 0; i < found->count && json_array_size(listing->rows) < listing->limit; i++) {
		listing->last = found->disks[i];
		listing->last.tags = NULL;
		if (!is_wanted(listing, &found->disks[i]))
			continue;
		if (listing->skip > 0)
			listing->skip--;
		else
			json_array_append_new(listing->rows, listing->kind->row(call, &found->disks[i]));
	}
	listing->more = found->more || i < found->count;
	listing->query.after = &listing->last;
	if (listing->more && json_array_size(listing->rows) < listing->limit && ++listing->rounds < ROUNDS_MAX)
		listing_ask(call, listing);
	else
		listing_end(call, listing);
}

static void listing_ask(struct huawei_call *call, struct listing *listing)
{
	uint64_t wanted = listing->skip + listing->limit - json_array_size(listing->rows);

	listing->query.limit = wanted < CONTROL_FIND_MAX ? wanted : CONTROL_FIND_MAX;
	control_find_disks(call->huawei->control, &listing->query, on_found, call);
}

/* --- what is asked for --- */

static const struct {
	const char *name;
	enum control_disk_order order;
} orders[] = {
	{ "created_at", CONTROL_BY_CREATION }, { "name", CONTROL_BY_NAME }, { "display_name", CONTROL_BY_NAME },
	{ "size", CONTROL_BY_SIZE },	       { "id", CONTROL_BY_ID },
};

/* sort=KEY[:DIRECTION], or sort_key and sort_dir. Of several keys the first one counts. */
static bool read_order(struct huawei_call *call, struct control_disk_query *query)
{
	const char *sort = huawei_given(call, "sort"), *key = sort != NULL ? sort : huawei_given(call, "sort_key");
	const char *direction = sort != NULL ? strchr(sort, ':') : huawei_given(call, "sort_dir");
	size_t length = key == NULL ? 0 : strcspn(key, ":,"), i = 0;

	query->descending = true;
	if (sort != NULL && direction != NULL)
		direction = direction == sort + length ? direction + 1 : NULL;
	if (direction != NULL) {
		size_t size = strcspn(direction, ",");

		query->descending = size == 4 && strncmp(direction, "desc", 4) == 0;
		if (!query->descending && !(size == 3 && strncmp(direction, "asc", 3) == 0)) {
			huawei_fail(call, 400, "EVS.1040", "The direction of sorting must be asc or desc.");
			return false;
		}
	}
	if (key == NULL)
		return true;
	while (i < sizeof(orders) / sizeof(orders[0]) &&
	       (strlen(orders[i].name) != length || strncmp(orders[i].name, key, length) != 0))
		i++;
	if (i == sizeof(orders) / sizeof(orders[0])) {
		huawei_fail(call, 400, "EVS.1039", "Volumes can be sorted by created_at, name, size or id.");
		return false;
	}
	query->order = orders[i].order;
	return true;
}

/* {"key": "value"}, as JSON or as Python writes it. */
static bool read_metadata(struct huawei_call *call, struct listing *listing)
{
	const char *given = huawei_given(call, "metadata");
	AUTO_FREE char *text = memory_copy_text(given == NULL ? "{}" : given);
	const char *key;
	json_t *value;

	if (given == NULL)
		return true;
	listing->tags = json_loads(text, 0, NULL);
	for (char *at = text; listing->tags == NULL && *at != '\0'; at++)
		if (*at == '\'')
			*at = '"';
	if (listing->tags == NULL)
		listing->tags = json_loads(text, 0, NULL);
	bool good = json_is_object(listing->tags);

	json_object_foreach(listing->tags, key, value) {
		good = good && json_is_string(value);
	}
	if (good)
		listing->query.tags = listing->tags;
	else
		huawei_fail(call, 400, "", "The filter metadata must be an object of texts.");
	return good;
}

static void read_filters(struct huawei_call *call, struct listing *listing)
{
	struct control_disk disk = { 0 };

	listing->status = huawei_given(call, "status");
	listing->query.zone = huawei_given(call, "availability_zone");
	listing->query.name = huawei_given(call, "name");
	listing->query.state = listing->kind->is_attachments ? DISK_STATE_IN_USE : -1;
	for (int i = 0; i < DISK_STATES && listing->status != NULL && !listing->kind->is_attachments; i++) {
		disk.state = (enum disk_state)i;
		if (strcmp(volume_status(&disk), listing->status) == 0)
			listing->query.state = i;
	}
	if (huawei_given(call, "volume_id") != NULL) {
		huawei_id(CONTROL_RESOURCE_DISK, huawei_given(call, "volume_id"), listing->volume);
		listing->query.id = listing->volume;
	}
	if (huawei_given(call, "instance_id") != NULL) {
		huawei_id(CONTROL_RESOURCE_INSTANCE, huawei_given(call, "instance_id"), listing->instance_id);
		listing->instance = listing->instance_id;
	}
}

static void on_marker(void *data, const struct control_found *found)
{
	struct huawei_call *call = data;
	struct listing *listing = call->state;

	if (found->count == 0 && found->unreached != NULL) {
		huawei_refuse(call, found->refusal, found->text);
		return;
	}
	if (found->count == 0) {
		huawei_fail(call, 400, "EVS.1024", "The marker could not be found.");
		return;
	}
	listing->last = found->disks[0];
	listing->last.tags = NULL;
	listing->query.after = &listing->last;
	listing_ask(call, listing);
}

static void list(struct huawei_call *call, const struct kind *kind)
{
	struct listing *listing = memory_new(1, sizeof(*listing));
	const char *marker = huawei_given(call, "marker");
	char id[CONTROL_ID_SIZE] = "";
	struct control_disk_query query = { .id = id, .state = -1, .limit = 1 };

	call->state = listing;
	call->on_free = listing_free;
	listing->kind = kind;
	listing->rows = json_array();
	if (!huawei_read_number(call, "limit", 0, UINT32_MAX, PAGE_MAX, "EVS.1023", &listing->limit) ||
	    !huawei_read_number(call, "offset", 0, OFFSET_MAX, 0, "EVS.2142", &listing->skip) ||
	    !read_order(call, &listing->query) || !read_metadata(call, listing))
		return;
	read_filters(call, listing);
	if (listing->limit > PAGE_MAX)
		listing->limit = PAGE_MAX;
	if (listing->limit == 0) {
		listing_end(call, listing);
		return;
	}
	if (marker == NULL) {
		listing_ask(call, listing);
		return;
	}
	if (!kind->is_attachments)
		huawei_id(CONTROL_RESOURCE_DISK, marker, id);
	else
		volume_of_attachment(marker, id);
	control_find_disks(call->huawei->control, &query, on_marker, call);
}

void volumes_list(struct huawei_call *call)
{
	static const struct kind kind = { "volumes", "volumes_links", volume_summary, false };

	list(call, &kind);
}

void volumes_list_detail(struct huawei_call *call)
{
	static const struct kind kind = { "volumes", "volumes_links", volume_row, false };

	list(call, &kind);
}

void attachments_list(struct huawei_call *call)
{
	static const struct kind kind = { "attachments", "attachments_links", volume_attachment_summary, true };

	list(call, &kind);
}

void attachments_list_detail(struct huawei_call *call)
{
	static const struct kind kind = { "attachments", "attachments_links", volume_attachment, true };

	list(call, &kind);
}
