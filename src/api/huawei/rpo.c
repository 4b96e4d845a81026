/* How many pairs had a recovery point older than their RPO allows, counted once an hour and kept for 31 days. Counted are
 * pairs whose protection is on and that have a recovery point; after a restart that hour's count is taken again. */
#include <inttypes.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/huawei/internal.h"
#include "api/huawei/sdrs.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "catalog/catalog.h"

#define KIND "rpo"
#define HOUR_S 3600
#define SETTLE_S 10 /* after a start: by then the sites have told each other what they hold */
#define KEPT_HOURS (31 * 24) /* a record each, used in turn: {"hour" since 1970, "count"} */

static void on_pair(void *data, const struct control_brief *brief)
{
	uint64_t *count = data;
	bool runs = brief->state == PAIR_SYNCING || brief->state == PAIR_NORMAL || brief->state == PAIR_MANUAL_SYNCING;

	*count += runs && brief->recovery_age_ms > UINT64_C(1000) * brief->rpo_s;
}

static int store(struct catalog *catalog, int64_t hour, uint64_t count, struct error *error)
{
	char id[8], body[64];
	int code = catalog_begin(catalog, error);

	if (code < 0)
		return code;
	snprintf(id, sizeof(id), "%d", (int)(hour % KEPT_HOURS));
	snprintf(body, sizeof(body), "{\"hour\":%" PRId64 ",\"count\":%" PRIu64 "}", hour, count);
	code = catalog_put(catalog, KIND, id, body, error);
	if (code == 0)
		return catalog_commit(catalog, error);
	catalog_rollback(catalog);
	return code;
}

void huawei_rpo_tick(struct huawei *huawei)
{
	int64_t now = (int64_t)time(NULL);
	struct error error = { 0 };
	uint64_t count = 0;

	if (huawei->rpo_due_s == 0)
		huawei->rpo_due_s = now + SETTLE_S;
	if (now < huawei->rpo_due_s)
		return;
	huawei->rpo_due_s = (now / HOUR_S + 1) * HOUR_S;
	control_each(huawei->control, false, on_pair, &count);
	if (store(huawei->catalog, now / HOUR_S, count, &error) < 0)
		log_event(LOG_ERROR, "huawei.rpo_not_stored", "reason=\"%s\"", error.text);
}

/* The records of the last KEPT_HOURS, in their order; -1: none of that hour. */
struct samples {
	int64_t first;
	json_int_t counts[KEPT_HOURS];
};

static int on_record(void *data, const char *id, const char *body, struct error *error)
{
	struct samples *samples = data;
	json_t *record = json_loads(body, 0, NULL);
	json_int_t hour = json_integer_value(json_object_get(record, "hour"));

	(void)id;
	(void)error;
	if (hour >= samples->first && hour < samples->first + KEPT_HOURS)
		samples->counts[hour - samples->first] = json_integer_value(json_object_get(record, "count"));
	json_decref(record);
	return 0;
}

static json_t *sample_row(int64_t hour, json_int_t count)
{
	json_t *at = huawei_time_with_blank((uint64_t)hour * HOUR_S);
	json_t *row = json_pack("{s:o, s:O, s:I, s:s, s:O, s:O}", "id", json_sprintf("%lld", (long long)hour), "point_time", at,
				"resource_num", count, "resource_type", "replication", "created_at", at, "updated_at", at);

	json_decref(at);
	return row;
}

/* Seconds, milliseconds, or "YYYY-MM-DD hh:mm:ss", as hours. */
static bool read_hour(struct huawei_call *call, const char *name, int64_t otherwise, int64_t *out)
{
	const char *text = huawei_given(call, name);
	char whole[TEXT_TIME_SIZE];
	int64_t seconds;
	char *end;

	*out = otherwise;
	if (text == NULL)
		return true;
	seconds = strtoll(text, &end, 10);
	if (*end != '\0') {
		snprintf(whole, sizeof(whole), "%.10sT%.8sZ", text, strnlen(text, 11) == 11 ? text + 11 : "00:00:00");
		if (!text_parse_time(whole, &seconds)) {
			huawei_fail(call, MHD_HTTP_BAD_REQUEST, "SDRS.0201", "%s must be like \"2026-01-02 03:04:05\".", name);
			return false;
		}
	} else if (seconds > INT64_C(100000000000)) {
		seconds /= 1000;
	}
	*out = seconds / HOUR_S;
	return true;
}

void huawei_list_rpo(struct huawei_call *call)
{
	int64_t now = (int64_t)time(NULL) / HOUR_S, from, to;
	struct samples samples = { .first = now - KEPT_HOURS + 1 };
	struct error error = { 0 };
	uint64_t limit, offset;
	size_t count = 0;
	json_t *rows;

	if (!huawei_read_number(call, "limit", 0, 1000, 1000, "SDRS.0221", &limit) ||
	    !huawei_read_number(call, "offset", 0, UINT32_MAX, 0, "SDRS.0222", &offset) ||
	    !read_hour(call, "start_time", samples.first, &from) || !read_hour(call, "end_time", now, &to))
		return;
	for (size_t i = 0; i < KEPT_HOURS; i++)
		samples.counts[i] = -1;
	if (catalog_each(call->huawei->catalog, KIND, on_record, &samples, &error) < 0) {
		huawei_refuse(call, REFUSE_STORAGE, error.text);
		return;
	}
	rows = json_array();
	for (int64_t i = 0; i < KEPT_HOURS; i++)
		if (samples.counts[i] >= 0 && samples.first + i >= from && samples.first + i <= to && count++ >= offset &&
		    json_array_size(rows) < limit)
			json_array_append_new(rows, sample_row(samples.first + i, samples.counts[i]));
	sdrs_answer_list(call, "resource_rpo_statistics", count, rows);
}
