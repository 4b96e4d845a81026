/* A volume's metadata, which is the disk's tags. What is asked for is one change of control's: all of it, or nothing. */
#include <string.h>

#include "api/huawei/volumes.h"

/* The body's object of texts; false: the call has failed. */
static bool read_texts(struct huawei_call *call, const char *root, json_t **out_texts)
{
	const struct huawei_field fields[] = {
		{ .name = root, .value = HUAWEI_TEXTS_BY_NAME, .required = true, .offset = 0, .size = sizeof(*out_texts) },
		{ .name = NULL },
	};

	return huawei_read(call, call->body, fields, out_texts);
}

static void ask_tags(struct huawei_call *call, enum control_operation operation, volume_step *then)
{
	struct volume_work *work = volume_work(call);

	work->request.resource = CONTROL_RESOURCE_DISK;
	work->request.ids = json_pack("[s]", work->disk.id);
	volume_ask(call, operation, then);
}

/* --- all of them --- */

static void show(struct huawei_call *call, struct volume_work *work)
{
	huawei_answer(call, 200, json_pack("{s:o}", "metadata", work->disk.tags == NULL ? json_object() :
											  json_incref(work->disk.tags)));
}

void metadata_list(struct huawei_call *call)
{
	volume_find_argument(call, show);
}

/* Read again: the answer shows what is there now. */
static void added(struct huawei_call *call, struct volume_work *work)
{
	volume_find(call, work->disk.id, show);
}

static void add(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	ask_tags(call, CONTROL_TAG, added);
}

void metadata_add(struct huawei_call *call)
{
	if (read_texts(call, "metadata", &volume_work(call)->request.tags))
		volume_find_argument(call, add);
}

/* What is there and not given goes with the same change. */
static void replace(struct huawei_call *call, struct volume_work *work)
{
	const char *key;
	json_t *value;

	work->request.keys = json_array();
	json_object_foreach(work->disk.tags, key, value) {
		if (json_object_get(work->request.tags, key) == NULL)
			json_array_append_new(work->request.keys, json_string(key));
	}
	ask_tags(call, CONTROL_TAG, added);
}

void metadata_replace(struct huawei_call *call)
{
	if (read_texts(call, "metadata", &volume_work(call)->request.tags))
		volume_find_argument(call, replace);
}

/* --- one of them --- */

static bool has_key(struct huawei_call *call, const struct volume_work *work)
{
	if (json_object_get(work->disk.tags, call->arguments[1]) != NULL)
		return true;
	huawei_fail(call, 404, "", "The volume has no metadata with that key.");
	return false;
}

static void show_one(struct huawei_call *call, struct volume_work *work)
{
	const char *key = call->arguments[1];

	if (has_key(call, work))
		huawei_answer(call, 200, json_pack("{s:{s:O}}", "meta", key, json_object_get(work->disk.tags, key)));
}

void metadata_show_one(struct huawei_call *call)
{
	volume_find_argument(call, show_one);
}

static void set_one_done(struct huawei_call *call, struct volume_work *work)
{
	huawei_answer(call, 200, json_pack("{s:O}", "meta", work->request.tags));
}

static void set_one(struct huawei_call *call, struct volume_work *work)
{
	(void)work;
	ask_tags(call, CONTROL_TAG, set_one_done);
}

void metadata_set_one(struct huawei_call *call)
{
	json_t **tags = &volume_work(call)->request.tags;

	if (!read_texts(call, "meta", tags))
		return;
	if (json_object_size(*tags) != 1 || json_object_get(*tags, call->arguments[1]) == NULL)
		huawei_fail(call, 400, "", "The body must have the key of the path, and no other.");
	else
		volume_find_argument(call, set_one);
}

static void delete_one(struct huawei_call *call, struct volume_work *work)
{
	if (!has_key(call, work))
		return;
	work->request.keys = json_pack("[s]", call->arguments[1]);
	ask_tags(call, CONTROL_UNTAG, volume_done);
}

void metadata_delete_one(struct huawei_call *call)
{
	volume_find_argument(call, delete_one);
}
