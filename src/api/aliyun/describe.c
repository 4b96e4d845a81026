/* The reads: filters and pages in, rows out. EBS gives bare arrays and epoch seconds, ECS wrapped arrays and ISO times; what is
 * Offsite's own rides in an object "Offsite" in each row. */
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "api/aliyun/parameters.h"
#include "api/http/http.h"
#include "base/memory.h"

#define PAGE_DEFAULT 10
#define PAGE_SIZE_MAX 100
#define RESULTS_MAX 500
#define IDS_MAX 100
#define CATEGORY_DEFAULT "cloud_essd" /* what a pair takes */
#define INSTANCE_STATUS "Running" /* of all: nothing stops what is only a name */
#define GIB (1024ull * 1024 * 1024)

struct page {
	struct control_filter filter;
	uint64_t number, size;
	bool by_token;
	char *ids_text;           /* what ids point into */
	const char *ids[IDS_MAX];
};

static json_t *integer(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

static void put(json_t *object, const char *name, json_t *value)
{
	/* Texts of old catalogs might not be UTF-8: then the member is empty, the row stays. */
	json_object_set_new(object, name, value != NULL ? value : json_string(""));
}

static void put_text(json_t *object, const char *name, const char *text)
{
	put(object, name, json_string(text));
}

static void put_number(json_t *object, const char *name, uint64_t number)
{
	put(object, name, integer(number));
}

/* --- filters and pages --- */

static bool read_page(struct page *page, const struct http_request *request, struct aliyun_error *error)
{
	uint64_t token;

	page->number = 1;
	page->by_token = aliyun_given(request, "MaxResults") != NULL || aliyun_given(request, "NextToken") != NULL;
	if (!aliyun_read_number(request, "NextToken", 0, INT64_MAX, 0, &token, error) ||
	    !aliyun_read_number(request, "MaxResults", 1, RESULTS_MAX, PAGE_DEFAULT, &page->size, error))
		return false;
	if (!page->by_token &&
	    (!aliyun_read_number(request, "PageNumber", 1, 1000000, 1, &page->number, error) ||
	     !aliyun_read_number(request, "PageSize", 1, PAGE_SIZE_MAX, PAGE_DEFAULT, &page->size, error)))
		return false;
	page->filter.first = page->by_token ? token : (page->number - 1) * page->size;
	page->filter.count = page->size;
	return true;
}

static bool add_id(struct page *page, const char *id, const char *name, struct aliyun_error *error)
{
	if (page->filter.id_count == IDS_MAX)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "%s holds more than %d ids.", name, IDS_MAX);
	page->ids[page->filter.id_count++] = id;
	page->filter.ids = page->ids;
	return true;
}

/* "a,b,c" */
static bool read_comma_ids(struct page *page, const struct http_request *request, const char *name, struct aliyun_error *error)
{
	const char *text = aliyun_given(request, name);
	char *save = NULL;

	if (text == NULL)
		return true;
	page->ids_text = memory_copy_text(text);
	for (char *id = strtok_r(page->ids_text, ", ", &save); id != NULL; id = strtok_r(NULL, ", ", &save))
		if (!add_id(page, id, name, error))
			return false;
	return true;
}

/* ["a","b"]; the strings live as long as the array. */
static bool read_array_ids(struct page *page, const struct http_request *request, const char *name, json_t **out_array,
			   struct aliyun_error *error)
{
	const char *text = aliyun_given(request, name);
	char malformed[ALIYUN_CODE_SIZE], bad[ALIYUN_CODE_SIZE];
	size_t index;
	json_t *entry;

	snprintf(malformed, sizeof(malformed), "Invalid%s.Malformed", name);
	snprintf(bad, sizeof(bad), "InvalidParameter.%s", name);
	*out_array = NULL;
	if (text == NULL)
		return true;
	*out_array = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_array(*out_array))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, bad, "%s must be a JSON array of ids.", name);
	if (json_array_size(*out_array) > IDS_MAX)
		return aliyun_fail(error, MHD_HTTP_FORBIDDEN, malformed, "%s holds more than %d ids.", name, IDS_MAX);
	page->filter.ids = page->ids; /* an empty array asks for nothing */
	json_array_foreach(*out_array, index, entry) {
		if (!json_is_string(entry))
			return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, bad, "%s must hold strings.", name);
		if (!add_id(page, json_string_value(entry), name, error))
			return false;
	}
	return true;
}

bool aliyun_region_is_known(struct control *control, const char *region)
{
	const struct control_site *site;
	uint64_t limit;
	bool linked;

	if (strcmp(control_this_site(control)->region, region) == 0)
		return true;
	for (size_t i = 0; (site = control_peer(control, i, &linked, &limit)) != NULL; i++)
		if (strcmp(site->region, region) == 0)
			return true;
	return false;
}

const char *aliyun_need_region(struct aliyun *aliyun, enum aliyun_product product, const struct http_request *request,
			       struct aliyun_error *error)
{
	const char *region = aliyun_need(request, "RegionId", error);

	if (region == NULL || aliyun_region_is_known(aliyun->control, region))
		return region;
	aliyun_refuse(error, product, REFUSE_NO_SUCH_REGION, "");
	return NULL;
}

static bool read_region(struct aliyun *aliyun, struct page *page, const struct http_request *request,
			struct aliyun_error *error)
{
	page->filter.region = aliyun_need_region(aliyun, ALIYUN_EBS, request, error);
	page->filter.state = -1;
	return page->filter.region != NULL;
}

/* As DescribeDisks spells it. */
static bool read_ecs_region(struct aliyun *aliyun, struct page *page, const struct http_request *request,
			    struct aliyun_error *error)
{
	const char *region = aliyun_given(request, "RegionId");

	if (region == NULL)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "MissingParamter.RegionId",
				   "The parameter RegionId is mandatory and missing.");
	if (!aliyun_region_is_known(aliyun->control, region))
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidRegion.NotFound", "There is no region %.64s.", region);
	return read_region(aliyun, page, request, error);
}

/* The tags are the page's to give back. */
static bool read_labels(struct page *page, const struct http_request *request, struct aliyun_error *error)
{
	page->filter.resource_group = aliyun_given(request, "ResourceGroupId");
	return aliyun_read_tags(request, true, &page->filter.tags, error);
}

static void page_clear(struct page *page)
{
	json_decref(page->filter.tags);
	free(page->ids_text);
}

static bool read_site(struct page *page, const struct http_request *request, struct aliyun_error *error)
{
	const char *site = aliyun_given(request, "Site");

	if (site == NULL)
		page->filter.site = CONTROL_SITE_ANY;
	else if (strcmp(site, "production") == 0)
		page->filter.site = CONTROL_SITE_PRODUCTION;
	else if (strcmp(site, "backup") == 0)
		page->filter.site = CONTROL_SITE_BACKUP;
	else
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter", "Site must be production or backup.");
	return true;
}

static json_t *answer_page(const struct page *page, const struct control_list *list, const char *name, json_t *rows)
{
	json_t *answer = json_object();
	size_t next = page->filter.first + list->count;
	char token[24] = "";

	if (next < list->total && list->count > 0)
		snprintf(token, sizeof(token), "%zu", next);
	put(answer, name, rows);
	put_number(answer, "TotalCount", list->total);
	put_number(answer, "PageNumber", page->number);
	put_number(answer, "PageSize", page->size);
	put_text(answer, "NextToken", token);
	return answer;
}

/* --- pairs and groups --- */

static json_t *row_status(const struct unit_status *status, const char *message)
{
	json_t *row = json_object();

	put_text(row, "State", unit_state_name(status->state));
	put(row, "Linked", json_boolean(status->linked));
	put(row, "Consistent", json_boolean(status->consistent));
	put(row, "Diverged", json_boolean(status->diverged));
	put(row, "Changing", json_boolean(status->changing));
	put_number(row, "PauseMs", status->pause_ms);
	put_number(row, "ComparedEqualBytes", status->compared_equal_bytes);
	put(row, "Scrubbing", json_boolean(status->scrubbing));
	put_number(row, "ScrubbedBytes", status->scrubbed_bytes);
	put_number(row, "ScrubDifferences", status->scrub_differences);
	put_text(row, "Divergence", status->divergence_kept ? "kept" : status->divergence_given_up ? "given up" : "");
	put_number(row, "DivergenceBytes", status->divergence_bytes);
	put_number(row, "DivergenceWallMs", status->divergence_wall_ms);
	put(row, "Idle", json_boolean(status->idle));
	put_number(row, "Term", status->term);
	put_number(row, "Epoch", status->epoch);
	put_number(row, "RecoveryEpoch", status->recovery_epoch);
	put_number(row, "RecoveryWallMs", status->recovery_wall_ms);
	put_number(row, "RecoveryAgeMs", status->recovery_age_ms);
	put_number(row, "DirtyBytes", status->dirty_bytes);
	put_number(row, "TotalBytes", status->total_bytes);
	put_number(row, "DoneBytes", status->done_bytes);
	put_number(row, "RateBytes", status->rate_bytes);
	put_number(row, "ShippedBytes", status->shipped_bytes);
	put_number(row, "Abandoned", status->abandoned);
	put_text(row, "Reason", status->reason[0] != '\0' ? status->reason : message);
	return row;
}

void aliyun_put_preview(json_t *members, const struct control_preview *preview)
{
	json_t *costs = json_array();

	for (uint32_t i = 0; i < preview->cost_count; i++) {
		const struct control_cost *cost = &preview->costs[i];
		json_t *row = json_object();

		put_text(row, "Operation", cost->operation);
		if (cost->bytes_known)
			put_number(row, "BytesToMove", cost->move_bytes);
		if (cost->time_known)
			put(row, "ExpectedSeconds", json_real((double)cost->expected_ms / 1000));
		if (cost->set_aside_known)
			put_number(row, "SetAsideBytes", cost->set_aside_bytes);
		if (cost->set_aside_zone[0] != '\0')
			put_text(row, "SetAsideZoneId", cost->set_aside_zone);
		json_array_append_new(costs, row);
	}
	if (preview->recovery_ms > 0) {
		put_number(members, "RecoverPoint", preview->recovery_ms / 1000);
		put_number(members, "RecoverPointAgeMs", preview->recovery_age_ms);
	}
	put_text(members, "PeerZoneId", preview->peer_zone);
	put(members, "PeerAnswered", json_boolean(preview->peer_answered));
	put(members, "Operations", costs);
}

/* The role of the region that was asked for; with both disks in one region, this site's. */
static const char *role_of(const struct page *page, const struct control_site *source, const struct control_site *destination,
			   bool here_is_production)
{
	bool production = strcmp(page->filter.region, source->region) == 0;
	bool backup = strcmp(page->filter.region, destination->region) == 0;

	if (production == backup)
		production = here_is_production;
	return production ? "production" : "backup";
}

static uint64_t months_after(uint64_t time_s, uint32_t months)
{
	time_t when = (time_t)time_s;
	struct tm utc;

	if (gmtime_r(&when, &utc) == NULL)
		return time_s;
	utc.tm_mon += (int)months;
	return (uint64_t)timegm(&utc);
}

static json_t *row_pair(const struct page *page, const struct control_pair *pair)
{
	json_t *row = json_object();

	put_text(row, "ReplicaPairId", pair->id);
	put_text(row, "PairName", pair->name);
	put_text(row, "Description", pair->description);
	put_text(row, "Status", pair_state_name(pair->state));
	put_text(row, "StatusMessage", pair->message);
	put_text(row, "SourceRegion", pair->source.region);
	put_text(row, "SourceZoneId", pair->source.zone);
	put_text(row, "SourceDiskId", pair->source_disk);
	put_text(row, "DestinationRegion", pair->destination.region);
	put_text(row, "DestinationZoneId", pair->destination.zone);
	put_text(row, "DestinationDiskId", pair->destination_disk);
	put_text(row, "PrimaryRegion", pair->primary.region);
	put_text(row, "PrimaryZone", pair->primary.zone);
	put_text(row, "StandbyRegion", pair->standby.region);
	put_text(row, "StandbyZone", pair->standby.zone);
	put_text(row, "Site", role_of(page, &pair->source, &pair->destination, pair->here_is_production));
	put_number(row, "RPO", pair->rpo_s);
	put_number(row, "Bandwidth", pair->bandwidth);
	if (pair->recovery_ms > 0)
		put_number(row, "LastRecoverPoint", pair->recovery_ms / 1000);
	put_text(row, "ReplicaGroupId", pair->group);
	put_text(row, "ReplicaGroupName", pair->group_name);
	put(row, "EnableRtc", json_boolean(pair->enable_rtc));
	put_text(row, "ChargeType", pair->charge_type[0] == '\0' ? "POSTPAY" : pair->charge_type);
	put_number(row, "CreateTime", pair->created_s);
	if (strcmp(pair->charge_type, "PREPAY") == 0 && pair->period > 0)
		put_number(row, "ExpiredTime", months_after(pair->created_s, pair->period));
	put_text(row, "ResourceGroupId", pair->resource_group);
	put(row, "Tags", aliyun_tags_row(pair->tags));
	put(row, "Offsite", row_status(&pair->status, pair->message));
	return row;
}

static json_t *row_group(const struct page *page, const struct control_group *group)
{
	json_t *row = json_object();
	json_t *ids = json_array();

	for (uint32_t i = 0; i < group->pair_count; i++)
		json_array_append_new(ids, json_string(group->pairs[i]));
	put_text(row, "ReplicaGroupId", group->id);
	put_text(row, "GroupName", group->name);
	put_text(row, "Description", group->description);
	put_text(row, "Status", pair_state_name(group->state));
	put_text(row, "SourceRegionId", group->source.region);
	put_text(row, "SourceZoneId", group->source.zone);
	put_text(row, "DestinationRegionId", group->destination.region);
	put_text(row, "DestinationZoneId", group->destination.zone);
	put_text(row, "PrimaryRegion", group->primary.region);
	put_text(row, "PrimaryZone", group->primary.zone);
	put_text(row, "StandbyRegion", group->standby.region);
	put_text(row, "StandbyZone", group->standby.zone);
	put_text(row, "Site", role_of(page, &group->source, &group->destination, group->here_is_production));
	put_number(row, "RPO", group->rpo_s);
	put_number(row, "Bandwidth", group->bandwidth);
	if (group->recovery_ms > 0)
		put_number(row, "LastRecoverPoint", group->recovery_ms / 1000);
	put(row, "PairIds", ids);
	put_number(row, "PairNumber", group->pair_count);
	put(row, "EnableRtc", json_boolean(group->enable_rtc));
	put_text(row, "ResourceGroupId", group->resource_group);
	put(row, "Tags", aliyun_tags_row(group->tags));
	put(row, "Offsite", row_status(&group->status, group->message));
	return row;
}

static json_t *list_pairs(struct aliyun *aliyun, const struct page *page)
{
	struct control_list list;
	json_t *rows = json_array();
	json_t *answer;

	control_list_pairs(aliyun->control, &page->filter, &list);
	for (size_t i = 0; i < list.count; i++)
		json_array_append_new(rows, row_pair(page, &list.pairs[i]));
	answer = answer_page(page, &list, "ReplicaPairs", rows);
	control_list_free(&list);
	return answer;
}

static json_t *list_groups(struct aliyun *aliyun, const struct page *page)
{
	struct control_list list;
	json_t *rows = json_array();
	json_t *answer;

	control_list_groups(aliyun->control, &page->filter, &list);
	for (size_t i = 0; i < list.count; i++)
		json_array_append_new(rows, row_group(page, &list.groups[i]));
	answer = answer_page(page, &list, "ReplicaGroups", rows);
	control_list_free(&list);
	return answer;
}

json_t *aliyun_describe_pairs(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	struct page page = { 0 };
	json_t *answer = NULL;

	if (read_region(aliyun, &page, request, error) && read_page(&page, request, error) && read_site(&page, request, error) &&
	    read_comma_ids(&page, request, "PairIds", error) && read_labels(&page, request, error)) {
		page.filter.name_part = aliyun_given(request, "Name");
		page.filter.group = aliyun_given(request, "ReplicaGroupId");
		answer = list_pairs(aliyun, &page);
	}
	page_clear(&page);
	return answer;
}

json_t *aliyun_describe_groups(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	struct page page = { 0 };
	json_t *answer = NULL;

	if (read_region(aliyun, &page, request, error) && read_page(&page, request, error) && read_site(&page, request, error) &&
	    read_comma_ids(&page, request, "GroupIds", error) && read_labels(&page, request, error)) {
		page.filter.name_part = aliyun_given(request, "Name");
		answer = list_groups(aliyun, &page);
	}
	page_clear(&page);
	return answer;
}

static uint64_t percent(const struct unit_status *status)
{
	if (status->total_bytes == 0)
		return status->consistent ? 100 : 0;
	if (status->done_bytes >= status->total_bytes)
		return 100;
	return (uint64_t)((double)status->done_bytes * 100.0 / (double)status->total_bytes);
}

json_t *aliyun_describe_progress(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	struct page page = { .filter.count = 1 };
	struct control_list list;
	json_t *answer;
	const char *id;

	if (!read_region(aliyun, &page, request, error))
		return NULL;
	id = aliyun_need(request, "ReplicaPairId", error);
	if (id == NULL || !add_id(&page, id, "ReplicaPairId", error))
		return NULL;
	control_list_pairs(aliyun->control, &page.filter, &list);
	if (list.count == 0) {
		control_list_free(&list);
		aliyun_refuse(error, ALIYUN_EBS, REFUSE_NO_SUCH_PAIR, "");
		return NULL;
	}
	answer = json_object();
	put_number(answer, "Progress", percent(&list.pairs[0].status));
	if (list.pairs[0].recovery_ms > 0)
		put_number(answer, "RecoverPoint", list.pairs[0].recovery_ms / 1000);
	control_list_free(&list);
	return answer;
}

/* --- disks --- */

static void put_time(json_t *row, const char *name, uint64_t time_s)
{
	time_t when = (time_t)time_s;
	char text[32] = "";
	struct tm utc;

	if (time_s > 0 && gmtime_r(&when, &utc) != NULL)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &utc);
	put_text(row, name, text);
}

/* "{disk}" in the pattern stands for the id. */
static json_t *uri_of(const char *pattern, const char *id)
{
	const char *mark = strstr(pattern, "{disk}");
	char uri[256 + CONTROL_ID_SIZE + 16];

	if (mark == NULL)
		snprintf(uri, sizeof(uri), "%s%s", pattern, id);
	else
		snprintf(uri, sizeof(uri), "%.*s%s%s", (int)(mark - pattern), pattern, id, mark + strlen("{disk}"));
	return json_string(uri);
}

static json_t *row_disk_own(const struct aliyun *aliyun, const struct control_disk *disk)
{
	json_t *row = json_object();
	json_t *uris = json_array(), *diverged = json_array();
	char name[CONTROL_ID_SIZE + 16];

	snprintf(name, sizeof(name), "%s.diverged", disk->id);
	for (size_t i = 0; i < 2 && disk->diverged_kept; i++)
		if (aliyun->nbd_uris[i][0] != '\0')
			json_array_append_new(diverged, uri_of(aliyun->nbd_uris[i], name));
	/* There is an export only while the disk is attached. */
	for (size_t i = 0; i < 2 && disk->state == DISK_STATE_IN_USE; i++)
		if (aliyun->nbd_uris[i][0] != '\0')
			json_array_append_new(uris, uri_of(aliyun->nbd_uris[i], disk->id));
	put_number(row, "SizeBytes", disk->size);
	put_text(row, "Kind", disk->kind);
	put_text(row, "Path", disk->path);
	put(row, "Adopted", json_boolean(disk->adopted));
	put(row, "NbdUris", uris);
	put(row, "DivergedNbdUris", diverged);
	put_text(row, "Cache", disk->cache[0] != '\0' ? disk->cache : CONTROL_CACHE_WRITEBACK);
	put_text(row, "PairId", disk->pair);
	put_text(row, "Failure", disk->failure);
	return row;
}

static const char *const rates[] = { "IOPS", "IOPSRead", "IOPSWrite",
				     "Throughput", "ThroughputRead", "ThroughputWrite" };

static json_t *row_disk(const struct aliyun *aliyun, const struct control_disk *disk)
{
	json_t *row = json_object();
	json_t *attachments = json_array();
	const char *category = disk->category[0] == '\0' ? CATEGORY_DEFAULT : disk->category;

	if (disk->instance[0] != '\0') {
		json_t *attachment = json_object();

		put_text(attachment, "InstanceId", disk->instance);
		put_text(attachment, "Device", disk->device);
		put_time(attachment, "AttachedTime", disk->attached_s);
		json_array_append_new(attachments, attachment);
	}
	put_text(row, "DiskId", disk->id);
	put_text(row, "RegionId", disk->region);
	put_text(row, "ZoneId", disk->zone);
	put_text(row, "DiskName", disk->name);
	put_text(row, "Description", disk->description);
	put_text(row, "Status", disk_state_name(disk->state));
	put_number(row, "Size", (disk->size + GIB - 1) / GIB);
	put_text(row, "Category", category);
	put_text(row, "PerformanceLevel", disk->performance[0] != '\0' ? disk->performance :
					  strcmp(category, CATEGORY_DEFAULT) == 0 ? "PL1" : "");
	put_text(row, "Type", "data");
	put_text(row, "DiskChargeType", "PostPaid");
	put(row, "Portable", json_true());
	put(row, "Encrypted", json_false());
	put(row, "DeleteWithInstance", json_boolean(disk->delete_with_instance));
	put(row, "DeleteAutoSnapshot", json_boolean(disk->delete_auto_snapshot));
	put(row, "EnableAutoSnapshot", json_boolean(disk->enable_auto_snapshot));
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		put_number(row, rates[i], 0); /* no limit is set */
	put_text(row, "MultiAttach", "Disabled");
	put_text(row, "InstanceId", disk->instance);
	put_text(row, "Device", disk->device);
	put_text(row, "SourceSnapshotId", "");
	put_text(row, "SerialNumber", disk->id);
	put_text(row, "ResourceGroupId", disk->resource_group);
	put_time(row, "CreationTime", disk->created_s);
	put_time(row, "AttachedTime", disk->attached_s);
	put_time(row, "DetachedTime", disk->detached_s);
	put(row, "Attachments", json_pack("{s:o}", "Attachment", attachments));
	put(row, "Tags", json_pack("{s:o}", "Tag", aliyun_tags_row(disk->tags)));
	put(row, "Offsite", row_disk_own(aliyun, disk));
	return row;
}

static bool read_disk_status(struct page *page, const struct http_request *request, struct aliyun_error *error)
{
	const char *status = aliyun_given(request, "Status");

	if (status == NULL || strcmp(status, "All") == 0)
		return true;
	for (int state = 0; state < DISK_STATES; state++)
		if (strcmp(disk_state_name((enum disk_state)state), status) == 0)
			page->filter.state = state;
	if (page->filter.state < 0 && strcmp(status, "ReIniting") == 0)
		page->filter.state = DISK_STATES; /* never in it */
	if (page->filter.state < 0)
		return aliyun_fail(error, MHD_HTTP_BAD_REQUEST, "InvalidParameter",
				   "Status must be In_use, Available, Attaching, Detaching, Creating, ReIniting or All.");
	return true;
}

json_t *aliyun_describe_disks(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *category = aliyun_given(request, "Category");
	struct page page = { 0 };
	struct control_list list;
	json_t *ids = NULL;
	json_t *rows, *answer = NULL;

	if (read_ecs_region(aliyun, &page, request, error) && read_page(&page, request, error) &&
	    read_disk_status(&page, request, error) && read_array_ids(&page, request, "DiskIds", &ids, error) &&
	    read_labels(&page, request, error)) {
		page.filter.zone = aliyun_given(request, "ZoneId");
		page.filter.instance = aliyun_given(request, "InstanceId");
		page.filter.name_part = aliyun_given(request, "DiskName");
		page.filter.category = category;
		if (category != NULL && strcasecmp(category, "all") == 0)
			page.filter.category = NULL;
		page.filter.or_no_category = category != NULL && strcmp(category, CATEGORY_DEFAULT) == 0;
		if (aliyun_given(request, "SnapshotId") != NULL)
			page.filter.state = DISK_STATES; /* no disk comes from one */
		control_list_disks(aliyun->control, &page.filter, &list);
		rows = json_array();
		for (size_t i = 0; i < list.count; i++)
			json_array_append_new(rows, row_disk(aliyun, &list.disks[i]));
		answer = answer_page(&page, &list, "Disks", json_pack("{s:o}", "Disk", rows));
		control_list_free(&list);
	}
	json_decref(ids);
	page_clear(&page);
	return answer;
}

/* --- instances --- */

static json_t *row_instance(const struct control_instance *instance)
{
	json_t *row = json_object(), *disks = json_array();

	for (uint32_t i = 0; i < instance->disk_count; i++)
		json_array_append_new(disks, json_string(instance->disks[i]));
	put_text(row, "InstanceId", instance->id);
	put_text(row, "InstanceName", instance->name[0] != '\0' ? instance->name : instance->id);
	put_text(row, "Description", instance->description);
	put_text(row, "RegionId", instance->region);
	put_text(row, "ZoneId", instance->zone);
	put_text(row, "Status", INSTANCE_STATUS);
	put_text(row, "InstanceChargeType", "PostPaid");
	put_text(row, "ResourceGroupId", instance->resource_group);
	put_time(row, "CreationTime", instance->created_s);
	put(row, "Tags", json_pack("{s:o}", "Tag", aliyun_tags_row(instance->tags)));
	put(row, "Offsite", json_pack("{s:o}", "DiskIds", disks));
	return row;
}

json_t *aliyun_describe_instances(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	struct page page = { 0 };
	struct control_list list;
	const char *status = aliyun_given(request, "Status");
	json_t *ids = NULL, *rows, *answer = NULL;

	if (read_ecs_region(aliyun, &page, request, error) && read_page(&page, request, error) &&
	    read_array_ids(&page, request, "InstanceIds", &ids, error) && read_labels(&page, request, error)) {
		page.filter.zone = aliyun_given(request, "ZoneId");
		page.filter.name_part = aliyun_given(request, "InstanceName");
		if (status != NULL && strcmp(status, INSTANCE_STATUS) != 0) {
			page.filter.ids = page.ids; /* none is in another state */
			page.filter.id_count = 0;
		}
		control_list_instances(aliyun->control, &page.filter, &list);
		rows = json_array();
		for (size_t i = 0; i < list.count; i++)
			json_array_append_new(rows, row_instance(&list.instances[i]));
		answer = answer_page(&page, &list, "Instances", json_pack("{s:o}", "Instance", rows));
		control_list_free(&list);
	}
	json_decref(ids);
	page_clear(&page);
	return answer;
}

/* --- regions --- */

/* Adds the site to its region's row, made when it is the first there. */
static void put_site(json_t *regions, const struct control_site *site, const char *endpoint, bool local, bool linked,
		     uint64_t limit)
{
	json_t *zone = json_object(), *own = json_object(), *row = NULL, *entry;
	size_t index;

	json_array_foreach(regions, index, entry)
		if (strcmp(json_string_value(json_object_get(entry, "RegionId")), site->region) == 0)
			row = entry;
	if (row == NULL) {
		row = json_object();
		put_text(row, "RegionId", site->region);
		put_text(row, "LocalName", site->region);
		put_text(row, "RegionEndpoint", endpoint);
		put(row, "Zones", json_array());
		json_array_append_new(regions, row);
	}
	put_text(own, "Name", site->name);
	put(own, "Local", json_boolean(local));
	put(own, "Linked", json_boolean(linked));
	put_number(own, "BytesPerSecond", limit);
	put_text(zone, "ZoneId", site->zone);
	put_text(zone, "LocalName", site->zone);
	put(zone, "ResourceTypes", json_pack("[s]", "ear"));
	put(zone, "Offsite", own);
	json_array_append_new(json_object_get(row, "Zones"), zone);
}

/* All sites by region, in the order of the configuration; `only` may be NULL. */
static json_t *list_regions(struct aliyun *aliyun, const struct http_request *request, const char *only)
{
	const char *host = http_request_header(request, "Host");
	const struct control_site *site = control_this_site(aliyun->control);
	json_t *regions = json_array();
	uint64_t limit;
	bool linked;

	if (only == NULL || strcmp(site->region, only) == 0)
		put_site(regions, site, host == NULL ? "" : host, true, true, 0);
	for (size_t i = 0; (site = control_peer(aliyun->control, i, &linked, &limit)) != NULL; i++)
		if (only == NULL || strcmp(site->region, only) == 0)
			put_site(regions, site, "", false, linked, limit);
	return regions;
}

json_t *aliyun_describe_regions(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *type = aliyun_given(request, "ResourceType");
	json_t *answer = json_object();

	(void)error;
	/* Other features of the cloud's disks are nowhere here. */
	put(answer, "Regions", type != NULL && strcmp(type, "ear") != 0 ? json_array() :
			       list_regions(aliyun, request, aliyun_given(request, "RegionId")));
	return answer;
}

/* Adds the zone to its region's row, made when it is the first there. */
static void put_edge(json_t *regions, const struct control_site *site)
{
	json_t *row;
	size_t index;

	json_array_foreach(regions, index, row) {
		if (strcmp(json_string_value(json_object_get(row, "RegionId")), site->region) != 0)
			continue;
		json_array_append_new(json_object_get(row, "Zones"), json_pack("{s:s}", "ZoneId", site->zone));
		return;
	}
	row = json_pack("{s:s, s:[{s:s}]}", "RegionId", site->region, "Zones", "ZoneId", site->zone);
	json_array_append_new(regions, row);
}

/* Where disks of a zone can be copied to: from here to the peers, from a peer to here. */
static json_t *all_edges(struct aliyun *aliyun, const char *region, const char *zone)
{
	const struct control_site *here = control_this_site(aliyun->control), *site;
	json_t *regions = json_array();
	uint64_t limit;
	bool linked;

	for (size_t i = 0; (site = control_peer(aliyun->control, i, &linked, &limit)) != NULL; i++) {
		if (strcmp(here->zone, zone) == 0 && strcmp(here->region, region) == 0)
			put_edge(regions, site);
		else if (strcmp(site->zone, zone) == 0 && strcmp(site->region, region) == 0)
			put_edge(regions, here);
	}
	return regions;
}

json_t *aliyun_list_edges(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *region = aliyun_need(request, "RegionId", error);
	const char *zone = region == NULL ? NULL : aliyun_need(request, "Azone", error);
	json_t *all, *rows, *answer;
	struct page page = { 0 };
	struct control_list list = { 0 };

	if (zone == NULL || !read_page(&page, request, error))
		return NULL;
	all = all_edges(aliyun, region, zone);
	rows = json_array();
	list.total = json_array_size(all);
	for (size_t i = page.filter.first; i < list.total && list.count < page.filter.count; i++, list.count++)
		json_array_append(rows, json_array_get(all, i));
	json_decref(all);
	answer = answer_page(&page, &list, "SupportedRegions", rows);
	put_number(answer, "MaxResults", page.size);
	return answer;
}

json_t *aliyun_no_drills(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	(void)aliyun;
	(void)request;
	aliyun_fail(error, MHD_HTTP_FORBIDDEN, "OperationDenied",
		    "Drills are not offered here yet: fail the pair or group over instead.");
	return NULL;
}

/* ECS wraps its arrays. */
json_t *aliyun_describe_ecs_regions(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	json_t *regions = list_regions(aliyun, request, NULL), *row;
	size_t index;

	(void)error;
	json_array_foreach(regions, index, row) {
		put_text(row, "Status", "available");
	}
	return json_pack("{s:{s:o}}", "Regions", "Region", regions);
}

json_t *aliyun_describe_zones(struct aliyun *aliyun, const struct http_request *request, struct aliyun_error *error)
{
	const char *region = aliyun_need_region(aliyun, ALIYUN_ECS, request, error);
	const struct control_site *site = control_this_site(aliyun->control);
	json_t *zones;
	uint64_t limit;
	bool linked;

	if (region == NULL)
		return NULL;
	zones = json_array();
	for (size_t i = 0; site != NULL; site = control_peer(aliyun->control, i++, &linked, &limit)) {
		if (strcmp(site->region, region) == 0)
			json_array_append_new(zones, json_pack("{s:s, s:s, s:s, s:{s:[s, s]}, s:{s:[s, s]}}", "ZoneId", site->zone,
							       "LocalName", site->zone, "ZoneType", "AvailabilityZone",
							       "AvailableDiskCategories", "DiskCategories", CATEGORY_DEFAULT,
							       "cloud_auto", "AvailableResourceCreation", "ResourceTypes",
							       "Disk", "Instance"));
	}
	return json_pack("{s:{s:o}}", "Zones", "Zone", zones);
}
