/* What another site answers to a call that was carried to it, understood or not: each call has one answer, and the right one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "catalog/catalog.h"
#include "control/control.h"
#include "folder.h"

#define THERE "z-2"

static struct {
	char folder[64];
	struct catalog *catalog;
	struct control *control;
	uint64_t asked; /* id of the newest message that carries a call; 0: none */
	char *call;     /* its text */
	bool silent;    /* commands are not answered */
	unsigned answers;
	enum refusal refusal;
	char id[CONTROL_ID_SIZE];
} site;

static void on_command(void *data, const struct shard_command *command)
{
	struct error error = { 0 };

	(void)data;
	if (command->kind == SHARD_MESSAGE) {
		if (memmem(command->u.message.bytes, command->u.message.size, "\"call\"", 6) != NULL ||
		    memmem(command->u.message.bytes, command->u.message.size, "\"find\"", 6) != NULL)
			site.asked = command->u.message.id;
		free(site.call);
		site.call = strndup((const char *)command->u.message.bytes, command->u.message.size);
		free(command->u.message.bytes);
	}
	if (!site.silent)
		control_on_answer(site.control, command->id, &error);
}

static int set_up(void **state)
{
	struct control_site peer = { THERE, "r-2", THERE };
	const struct control_config config = { .site = { "z-1", "r-1", "z-1" }, .peers = &peer, .peer_count = 1,
					       .pairs_per_group_max = 128, .rpo_s_default = 900 };
	const struct control_port port = { .send = on_command };
	char path[96];
	struct error error;

	(void)state;
	memset(&site, 0, sizeof(site));
	snprintf(site.folder, sizeof(site.folder), "/tmp/offsite-peer-XXXXXX");
	assert_non_null(mkdtemp(site.folder));
	snprintf(path, sizeof(path), "%s/catalog", site.folder);
	assert_int_equal(catalog_open(path, &site.catalog, &error), 0);
	site.control = control_new(&config, site.catalog, &port, &error);
	assert_non_null(site.control);
	control_on_link(site.control, THERE, true, "");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	control_free(site.control);
	free(site.call);
	catalog_close(site.catalog);
	folder_remove(site.folder);
	return 0;
}

static void on_answer(void *data, const struct control_answer *answer)
{
	(void)data;
	site.answers++;
	site.refusal = answer->refusal;
	memcpy(site.id, answer->id, sizeof(site.id));
}

static void ask_for_a_disk_there(void)
{
	struct control_request request = { .operation = CONTROL_CREATE_DISK, .zone = THERE, .size = 1u << 20 };

	site.answers = 0;
	site.asked = 0;
	control_call(site.control, &request, on_answer, NULL);
	assert_int_not_equal(site.asked, 0);
	assert_int_equal(site.answers, 0);
}

static void reply(const char *text)
{
	control_on_message(site.control, THERE, true, site.asked, text, strlen(text));
	assert_int_equal(site.answers, 1);
	control_on_message(site.control, THERE, true, site.asked, text, strlen(text)); /* once more: nobody waits for it */
	assert_int_equal(site.answers, 1);
}

static void an_answer_is_given_on(void **state)
{
	(void)state;
	ask_for_a_disk_there();
	reply("{\"refusal\":0,\"text\":\"\",\"id\":\"d-7\"}");
	assert_int_equal(site.refusal, REFUSE_NONE);
	assert_string_equal(site.id, "d-7");
	ask_for_a_disk_there();
	reply("{\"refusal\":1,\"text\":\"why\"}");
	assert_int_equal(site.refusal, REFUSE_BAD_PARAMETER);
}

static void an_answer_that_is_not_understood_is_said_to_be(void **state)
{
	static const char *const answers[] = { "", "no JSON", "[]", "7", "{}", "{\"refusal\":\"x\"}", "{\"refusal\":-1}",
					       "{\"refusal\":9999}", "{\"refusal\":0,\"refusal\":0}" };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		ask_for_a_disk_there();
		reply(answers[i]);
		assert_int_equal(site.refusal, REFUSE_PEER_ANSWER);
	}
}

static void on_found(void *data, const struct control_found *found)
{
	(void)data;
	site.answers++;
	site.refusal = found->count > 0 ? REFUSE_NONE : found->refusal;
	assert_ptr_not_equal(found->unreached, NULL);
}

/* A disk that may be there: who has it gives an answer that is none. */
static void a_search_that_is_not_understood_is_said_to_be(void **state)
{
	struct control_disk_query query = { .id = "d-0123456789ab8def8abc", .state = -1, .limit = 1 };

	(void)state;
	site.answers = 0;
	control_find_disks(site.control, &query, on_found, NULL);
	assert_int_equal(site.answers, 0);
	reply("{\"rows\":7}");
	assert_int_equal(site.refusal, REFUSE_PEER_ANSWER);
}

/* The daemon ends before the answer comes: nothing of the call is left, which the sanitizers see. */
static void a_call_that_waits_is_given_up(void **state)
{
	struct control_request request = { .operation = CONTROL_CREATE_DISK, .zone = THERE, .size = 1u << 20,
					   .tags = json_pack("{s:s}", "key", "value") };

	(void)state;
	control_call(site.control, &request, on_answer, NULL);
	assert_int_equal(site.answers, 0);
	control_request_clear(&request);
}

/* The same, of a call that the other site carried to here. */
static void a_call_from_there_that_waits_is_given_up(void **state)
{
	(void)state;
	ask_for_a_disk_there();
	for (char *zone = site.call; (zone = strstr(zone, "\"" THERE "\"")) != NULL;)
		memcpy(zone, "\"z-1\"", 5);
	site.silent = true;
	site.asked = 0;
	control_on_message(site.control, THERE, false, 1, site.call, strlen(site.call));
	assert_int_equal(site.asked, 0);
	assert_non_null(strstr(site.call, "z-1")); /* it has not been answered, either */
}

static void without_a_link_nobody_is_asked(void **state)
{
	struct control_request request = { .operation = CONTROL_CREATE_DISK, .zone = THERE, .size = 1u << 20 };

	(void)state;
	control_on_link(site.control, THERE, false, "gone");
	control_call(site.control, &request, on_answer, NULL);
	assert_int_equal(site.asked, 0);
	assert_int_equal(site.answers, 1);
	assert_int_equal(site.refusal, REFUSE_PEER_UNREACHABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_answer_is_given_on, set_up, tear_down),
		cmocka_unit_test_setup_teardown(an_answer_that_is_not_understood_is_said_to_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_search_that_is_not_understood_is_said_to_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_call_that_waits_is_given_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_call_from_there_that_waits_is_given_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(without_a_link_nobody_is_asked, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
