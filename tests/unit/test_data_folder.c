/* The data folder: made, locked, its identity and credentials kept; and the mailbox's order and limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "daemon/data_folder.h"
#include "daemon/mailbox.h"

static char base[] = "/tmp/offsite-folder-XXXXXX";
static char path[128];

static int setup(void **state)
{
	(void)state;
	if (mkdtemp(base) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/a/b", base);
	return 0;
}

static int teardown(void **state)
{
	static const char *const names[] = { "a/b/lock", "a/b/uuid", "a/b/credentials", "a/b/disks", "a/b", "a", "file", "" };
	char name[160];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(name, sizeof(name), "%s/%s", base, names[i]);
		remove(name);
	}
	return 0;
}

static void test_made_and_kept(void **state)
{
	struct data_folder folder;
	struct error error = { 0 };
	struct stat status;
	char uuid[40];

	(void)state;
	assert_int_equal(data_folder_init(&folder, path, &error), 0);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(strlen(folder.uuid), 36);
	memcpy(uuid, folder.uuid, sizeof(uuid));
	data_folder_fini(&folder);
	assert_int_equal(data_folder_init(&folder, path, &error), 0);
	assert_string_equal(folder.uuid, uuid);
	data_folder_fini(&folder);
}

static void test_one_at_a_time(void **state)
{
	struct data_folder first, second;
	struct error error = { 0 };

	(void)state;
	assert_int_equal(data_folder_init(&first, path, &error), 0);
	assert_int_equal(data_folder_init(&second, path, &error), -EBUSY);
	assert_non_null(strstr(error.text, "is in use by another offsited"));
	data_folder_fini(&first);
	assert_int_equal(data_folder_init(&second, path, &error), 0);
	data_folder_fini(&second);
}

static void test_not_a_folder(void **state)
{
	struct data_folder folder;
	struct error error = { 0 };
	char name[160];
	FILE *file;

	(void)state;
	snprintf(name, sizeof(name), "%s/file", base);
	file = fopen(name, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(data_folder_init(&folder, name, &error), -ENOTDIR);
	assert_non_null(strstr(error.text, "is not a folder"));
	snprintf(name, sizeof(name), "%s/file/below", base);
	assert_int_equal(data_folder_init(&folder, name, &error), -ENOTDIR);
}

static void test_credentials(void **state)
{
	struct data_folder folder;
	struct error error = { 0 };
	struct stat status;
	char value[64], name[160];

	(void)state;
	assert_int_equal(data_folder_init(&folder, path, &error), 0);
	assert_int_equal(data_folder_read_credential(&folder, "endpoint", value, sizeof(value)), -ENOENT);
	assert_int_equal(data_folder_write_credentials(&folder, "http://127.0.0.1:1", "id", "secret", &error), 0);
	snprintf(name, sizeof(name), "%s/credentials", path);
	assert_int_equal(stat(name, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(data_folder_read_credential(&folder, "endpoint", value, sizeof(value)), 0);
	assert_string_equal(value, "http://127.0.0.1:1");
	assert_int_equal(data_folder_read_credential(&folder, "access_key_secret", value, sizeof(value)), 0);
	assert_string_equal(value, "secret");
	data_folder_fini(&folder);
}

static bool readable(int fd)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };

	return poll(&wait, 1, 0) == 1;
}

static struct mail *answer(uint64_t id)
{
	struct mail *mail = mail_new(MAIL_ANSWER);

	mail->u.answer.command_id = id;
	return mail;
}

static struct mail *unit(const char *id, uint64_t epoch)
{
	struct mail *mail = mail_new(MAIL_UNIT);

	snprintf(mail->u.unit.id, sizeof(mail->u.unit.id), "%s", id);
	mail->u.unit.epoch = epoch;
	return mail;
}

static struct mail *take(struct list *mails)
{
	struct list *first = mails->next;

	assert_false(list_is_empty(mails));
	list_remove(first);
	return container_of(first, struct mail, link);
}

/* In order, but for a unit's status: the newest stands for the older ones. */
static void test_mailbox(void **state)
{
	struct mailbox *mailbox;
	struct error error;
	struct list mails;
	struct mail *mail;

	(void)state;
	assert_int_equal(mailbox_new(&mailbox, &error), 0);
	assert_false(readable(mailbox_fd(mailbox)));
	mailbox_put(mailbox, unit("a", 1));
	mailbox_put(mailbox, answer(1));
	mailbox_put(mailbox, unit("b", 7));
	mailbox_put(mailbox, unit("a", 2));
	assert_true(readable(mailbox_fd(mailbox)));
	mailbox_take(mailbox, &mails);
	assert_false(readable(mailbox_fd(mailbox)));
	mail = take(&mails);
	assert_int_equal(mail->u.answer.command_id, 1);
	mail_free(mail);
	mail = take(&mails);
	assert_int_equal(mail->u.unit.epoch, 7);
	mail_free(mail);
	mail = take(&mails);
	assert_int_equal(mail->u.unit.epoch, 2);
	mail_free(mail);
	assert_true(list_is_empty(&mails));
	mailbox_put(mailbox, answer(2));
	mailbox_free(mailbox);
}

static void test_mailbox_limit(void **state)
{
	struct mailbox *mailbox;
	struct error error;
	int code = 0;
	int taken = 0;

	(void)state;
	assert_int_equal(mailbox_new(&mailbox, &error), 0);
	for (; taken <= MAILBOX_MESSAGES_MAX && code == 0; taken++) {
		struct mail *mail = mail_new(MAIL_MESSAGE);

		mail->u.message.bytes = memory_new(8, 1);
		mail->u.message.size = 8;
		code = mailbox_put(mailbox, mail);
	}
	assert_int_equal(code, -ENOSPC);
	assert_int_equal(taken, MAILBOX_MESSAGES_MAX + 1);
	assert_int_equal(mailbox_put(mailbox, answer(1)), 0);
	mailbox_free(mailbox);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_and_kept), cmocka_unit_test(test_one_at_a_time), cmocka_unit_test(test_not_a_folder),
		cmocka_unit_test(test_credentials), cmocka_unit_test(test_mailbox), cmocka_unit_test(test_mailbox_limit),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
