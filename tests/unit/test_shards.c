/* Two shards in the real world: every command of control/port.h answered exactly once, on real files, and repeatable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <ftw.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "control/port.h"
#include "daemon/config.h"
#include "daemon/mailbox.h"
#include "daemon/shards.h"

#define LIMIT_MS 10000
#define SIZE (8u * 1024 * 1024)

struct site {
	char folder[64];
	char run[64];
	struct config config;
	struct mailbox *mailbox;
	struct list mails; /* taken from it, not looked at yet */
	struct shards *shards;
	uint64_t next_id;
};

static void site_start(struct site *site)
{
	struct error error = { 0 };
	struct shards_options options = {
		.config = &site->config, .directory = site->folder, .run_directory = site->run, .mailbox = site->mailbox,
	};

	if (shards_start(&options, &site->shards, &error) < 0)
		fail_msg("%s", error.text);
}

static int setup(void **state)
{
	struct site *site = memory_new(1, sizeof(*site));
	struct error error;
	char disks[80];

	snprintf(site->folder, sizeof(site->folder), "/tmp/offsite-shard-XXXXXX");
	snprintf(site->run, sizeof(site->run), "/dev/shm/offsite-shard-XXXXXX");
	assert_non_null(mkdtemp(site->folder));
	assert_non_null(mkdtemp(site->run));
	snprintf(disks, sizeof(disks), "%s/disks", site->folder);
	assert_int_equal(mkdir(disks, 0700), 0);
	config_init(&site->config, site->folder);
	site->config.shards = 2;
	site->config.peer_count = 1;
	snprintf(site->config.peers[0].zone, sizeof(site->config.peers[0].zone), "far");
	snprintf(site->config.peers[0].region, sizeof(site->config.peers[0].region), "far");
	snprintf(site->config.peers[0].secret, sizeof(site->config.peers[0].secret), "a secret of some length");
	assert_int_equal(config_check(&site->config, NULL, &error), 0);
	snprintf(site->config.nbd_listen, sizeof(site->config.nbd_listen), "tcp:127.0.0.1:0");
	snprintf(site->config.link_listen, sizeof(site->config.link_listen), "tcp:127.0.0.1:0");
	assert_int_equal(mailbox_new(&site->mailbox, &error), 0);
	list_init(&site->mails);
	site_start(site);
	*state = site;
	return 0;
}

static int on_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status;
	(void)kind;
	(void)place;
	return remove(path);
}

static int teardown(void **state)
{
	struct site *site = *state;
	struct list *entry;

	if (site->shards != NULL)
		assert_int_equal(shards_stop(site->shards, LIMIT_MS), 0);
	while ((entry = list_pop(&site->mails)) != NULL) {
		assert_int_not_equal(container_of(entry, struct mail, link)->kind, MAIL_ANSWER); /* once is enough */
		mail_free(container_of(entry, struct mail, link));
	}
	mailbox_free(site->mailbox);
	config_fini(&site->config);
	assert_int_equal(nftw(site->folder, on_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	assert_int_equal(nftw(site->run, on_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
	free(site);
	return 0;
}

/* Waits for the next answer and gives the id of what it answers; every other mail is dropped. */
static uint64_t next_answer(struct site *site, struct error *out_error)
{
	for (;;) {
		struct list *entry;

		while ((entry = list_pop(&site->mails)) != NULL) {
			struct mail *mail = container_of(entry, struct mail, link);
			uint64_t id = mail->u.answer.command_id;
			bool ours = mail->kind == MAIL_ANSWER && !shards_on_answer(site->shards, &id, &mail->u.answer.error);

			if (ours)
				*out_error = mail->u.answer.error;
			mail_free(mail);
			if (ours)
				return id;
		}
		assert_int_equal(poll(&(struct pollfd){ .fd = mailbox_fd(site->mailbox), .events = POLLIN }, 1, LIMIT_MS), 1);
		mailbox_take(site->mailbox, &site->mails);
	}
}

/* Sends the command and waits for its answer. Gives the code. */
static int command(struct site *site, struct shard_command *command, struct error *out_error)
{
	command->id = ++site->next_id;
	shards_send(site->shards, command);
	assert_int_equal(next_answer(site, out_error), command->id);
	return out_error->code;
}

static int disk_command(struct site *site, enum shard_command_kind kind, const char *id, uint64_t size, struct error *out_error)
{
	struct shard_command order = { .kind = kind };

	snprintf(order.u.disk.id, sizeof(order.u.disk.id), "%s", id);
	snprintf(order.u.disk.kind, sizeof(order.u.disk.kind), "file");
	snprintf(order.u.disk.path, sizeof(order.u.disk.path), "%s/disks/%s.raw", site->folder, id);
	order.u.disk.size = size;
	return command(site, &order, out_error);
}

static uint64_t file_size(const struct site *site, const char *id)
{
	char path[128];
	struct stat status;

	snprintf(path, sizeof(path), "%s/disks/%s.raw", site->folder, id);
	return stat(path, &status) < 0 ? UINT64_MAX : (uint64_t)status.st_size;
}

static void test_life_of_a_disk(void **state)
{
	struct site *site = *state;
	struct error error;

	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-1", SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-1", SIZE, &error), 0);
	assert_int_equal(file_size(site, "d-1"), SIZE);
	assert_int_equal(disk_command(site, SHARD_DISK_OPEN, "d-1", SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_RESIZE, "d-1", 2 * SIZE, &error), -EBUSY);
	assert_non_null(strstr(error.text, "detach it"));
	assert_int_equal(disk_command(site, SHARD_DISK_UNEXPORT, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_UNEXPORT, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_RESIZE, "d-1", SIZE / 2, &error), -EINVAL);
	assert_int_equal(disk_command(site, SHARD_DISK_RESIZE, "d-1", 2 * SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_RESIZE, "d-1", 2 * SIZE, &error), 0);
	assert_int_equal(file_size(site, "d-1"), 2 * SIZE);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_DELETE, "d-1", 0, &error), 0);
	assert_int_equal(file_size(site, "d-1"), UINT64_MAX);
	assert_int_equal(disk_command(site, SHARD_DISK_DELETE, "d-1", 0, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-1", 0, &error), -ENOENT);
}

/* A create that a kill cut off after the file was made, before it had its size. */
static void test_create_is_finished(void **state)
{
	struct site *site = *state;
	struct error error;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/disks/d-2.raw", site->folder);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-2", SIZE, &error), 0);
	assert_int_equal(file_size(site, "d-2"), SIZE);
}

static void test_open_says_why_not(void **state)
{
	struct site *site = *state;
	struct error error;

	assert_int_equal(disk_command(site, SHARD_DISK_OPEN, "d-3", SIZE, &error), -ENOENT);
	assert_non_null(strstr(error.text, "cannot open disk d-3"));
	assert_non_null(strstr(error.text, "d-3.raw"));
}

/* An adopted file is never removed. */
static void test_adopted_stays(void **state)
{
	struct site *site = *state;
	struct shard_command order = { .kind = SHARD_DISK_OPEN };
	struct error error;
	struct stat status;
	FILE *file;

	snprintf(order.u.disk.id, sizeof(order.u.disk.id), "d-4");
	snprintf(order.u.disk.kind, sizeof(order.u.disk.kind), "file");
	snprintf(order.u.disk.path, sizeof(order.u.disk.path), "%s/image", site->folder);
	order.u.disk.adopted = true;
	file = fopen(order.u.disk.path, "w");
	assert_non_null(file);
	assert_int_equal(ftruncate(fileno(file), SIZE), 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(command(site, &order, &error), 0);
	order.kind = SHARD_DISK_DELETE;
	assert_int_equal(command(site, &order, &error), 0);
	assert_int_equal(stat(order.u.disk.path, &status), 0);
}

static void test_units_and_messages(void **state)
{
	struct site *site = *state;
	struct shard_command order = { .kind = SHARD_UNIT_START };
	struct error error;

	snprintf(order.u.unit.id, sizeof(order.u.unit.id), "pg-none");
	assert_true(command(site, &order, &error) < 0);
	assert_true(error.text[0] != '\0');
	order = (struct shard_command){ .kind = SHARD_MESSAGE };
	snprintf(order.u.message.peer, sizeof(order.u.message.peer), "nobody");
	order.u.message.bytes = memory_copy_text("hello");
	order.u.message.size = 5;
	assert_true(command(site, &order, &error) < 0);
	assert_non_null(strstr(error.text, "nobody"));
}

/* As soon as the unit has been loaded. */
static int unit_command(struct site *site, enum shard_command_kind kind, const char *id, struct error *out_error)
{
	struct shard_command order = { .kind = kind };
	int code;

	snprintf(order.u.unit.id, sizeof(order.u.unit.id), "%s", id);
	do
		code = command(site, &order, out_error);
	while (code == -EAGAIN);
	return code;
}

static int unit_open(struct site *site, const char *id, const char *first, const char *second, struct error *out_error)
{
	struct shard_command order = { .kind = SHARD_UNIT_OPEN };
	struct unit_spec *spec = memory_new(1, sizeof(*spec));

	snprintf(order.u.unit.id, sizeof(order.u.unit.id), "%s", id);
	snprintf(spec->id, sizeof(spec->id), "%s", id);
	memcpy(spec->lineage, id, strlen(id));
	snprintf(spec->peer, sizeof(spec->peer), "far");
	spec->role = UNIT_PRIMARY;
	spec->rpo_ms = 1000;
	spec->disk_count = 2;
	snprintf(spec->disks[0].local_disk, sizeof(spec->disks[0].local_disk), "%s", first);
	snprintf(spec->disks[1].local_disk, sizeof(spec->disks[1].local_disk), "%s", second);
	order.u.unit.spec = spec;
	return command(site, &order, out_error);
}

/* Disks are opened in turns in the two shards; those of a unit come together, and are found where they went. */
static void test_disks_gather(void **state)
{
	static const char *const disks[] = { "d-0", "d-1", "d-2", "d-3" };
	struct site *site = *state;
	struct error error;

	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(disk_command(site, SHARD_DISK_CREATE, disks[i], SIZE, &error), 0);
		assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, disks[i], 0, &error), 0);
	}
	assert_int_equal(unit_open(site, "u-1", "d-0", "d-1", &error), 0);
	assert_int_equal(unit_open(site, "u-1", "d-0", "d-1", &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_DELETE, "d-1", 0, &error), -EBUSY); /* it knows its unit */
	assert_int_equal(unit_open(site, "u-2", "d-1", "d-3", &error), -EBUSY);
	assert_int_equal(unit_open(site, "u-2", "d-3", "d-1", &error), -EBUSY);
	assert_non_null(strstr(error.text, "d-1"));
	assert_int_equal(unit_command(site, SHARD_UNIT_REMOVE, "u-1", &error), 0);
	assert_int_equal(unit_open(site, "u-2", "d-3", "d-1", &error), 0);
	assert_int_equal(unit_command(site, SHARD_UNIT_STOP, "u-2", &error), 0);
	assert_int_equal(unit_command(site, SHARD_UNIT_REMOVE, "u-2", &error), 0);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(disk_command(site, SHARD_DISK_UNEXPORT, disks[i], 0, &error), 0);
		assert_int_equal(disk_command(site, SHARD_DISK_RESIZE, disks[i], 2 * SIZE, &error), 0);
		assert_int_equal(file_size(site, disks[i]), 2 * SIZE);
		assert_int_equal(disk_command(site, SHARD_DISK_DELETE, disks[i], 0, &error), 0);
		assert_int_equal(file_size(site, disks[i]), UINT64_MAX);
	}
}

/* What is said while disks move is done after it, in order, and all of it is answered. */
static void test_commands_wait_for_a_move(void **state)
{
	static const enum shard_command_kind then[] = { SHARD_DISK_EXPORT, SHARD_UNIT_STOP, SHARD_UNIT_STOP, SHARD_DISK_EXPORT };
	struct site *site = *state;
	struct shard_command order = { .kind = SHARD_UNIT_OPEN, .id = 1000 };
	struct unit_spec *spec = memory_new(1, sizeof(*spec));
	uint64_t next = 1000;
	struct error error;

	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-0", SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-1", SIZE, &error), 0);
	*spec = (struct unit_spec){ .id = "u-1", .lineage = "u", .peer = "far", .role = UNIT_PRIMARY, .rpo_ms = 1000, .disk_count = 2,
				    .disks = { { .local_disk = "d-0" }, { .local_disk = "d-1" } } };
	snprintf(order.u.unit.id, sizeof(order.u.unit.id), "u-1");
	order.u.unit.spec = spec;
	shards_send(site->shards, &order);
	for (unsigned i = 1; i <= 4; i++) {
		order = (struct shard_command){ .kind = then[i - 1], .id = 1000 + i };
		if (order.kind == SHARD_UNIT_STOP)
			snprintf(order.u.unit.id, sizeof(order.u.unit.id), "u-1");
		else
			snprintf(order.u.disk.id, sizeof(order.u.disk.id), "d-1");
		shards_send(site->shards, &order);
	}
	while (next <= 1004) {
		assert_int_equal(next_answer(site, &error), next++);
		assert_int_equal(error.code, 0);
	}
}

static void test_restart(void **state)
{
	struct site *site = *state;
	struct error error;

	assert_int_equal(disk_command(site, SHARD_DISK_CREATE, "d-5", SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-5", 0, &error), 0);
	assert_int_equal(shards_stop(site->shards, LIMIT_MS), 0);
	site_start(site);
	assert_int_equal(disk_command(site, SHARD_DISK_OPEN, "d-5", SIZE, &error), 0);
	assert_int_equal(disk_command(site, SHARD_DISK_EXPORT, "d-5", 0, &error), 0);
}

/* Where it listens is taken: no thread is left, the reason names the section. */
static void test_port_in_use(void **state)
{
	struct site *site = *state;
	struct config taken = site->config;
	struct shards_options options = {
		.config = &taken, .directory = site->folder, .run_directory = site->run, .mailbox = site->mailbox,
	};
	struct shards *second = NULL;
	struct error error = { 0 };

	snprintf(taken.link_listen, sizeof(taken.link_listen), "%s", shards_link_address(site->shards));
	assert_int_equal(shards_start(&options, &second, &error), -EADDRINUSE);
	assert_non_null(strstr(error.text, "[link] listen"));
	assert_null(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life_of_a_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_create_is_finished, setup, teardown),
		cmocka_unit_test_setup_teardown(test_open_says_why_not, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adopted_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(test_units_and_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_disks_gather, setup, teardown),
		cmocka_unit_test_setup_teardown(test_commands_wait_for_a_move, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
		cmocka_unit_test_setup_teardown(test_port_in_use, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
