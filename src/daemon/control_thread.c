/* See control_thread.h. poll() over a handful of descriptors: few, so nothing faster is needed. */
#include "daemon/control_thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "api/huawei/huawei.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/doors.h"
#include "daemon/mailbox.h"
#include "daemon/shards.h"

static void control_thread_send(void *data, const struct shard_command *command)
{
	struct control_thread *thread = data;

	thread->outstanding++;
	shards_send(thread->shards, command);
}

struct control_port control_thread_port(struct control_thread *thread)
{
	return (struct control_port){ .send = control_thread_send, .data = thread };
}

/* --- mail: one function a kind --- */

static void deliver_answer(struct control_thread *thread, const struct mail *mail)
{
	const struct error *error = &mail->u.answer.error;
	uint64_t id = mail->u.answer.command_id;

	if (shards_on_answer(thread->shards, &id, error))
		return;
	thread->outstanding--;
	if (error->code < 0)
		log_event(LOG_DEBUG, "shard.refused", "command=%llu reason=\"%s\"", (unsigned long long)id, error->text);
	control_on_answer(thread->control, id, error);
}

static void deliver_unit(struct control_thread *thread, const struct mail *mail)
{
	control_on_unit(thread->control, &mail->u.unit);
}

static void deliver_link(struct control_thread *thread, const struct mail *mail)
{
	control_on_link(thread->control, mail->u.link.peer, mail->u.link.up, mail->u.link.reason);
}

static void deliver_message(struct control_thread *thread, const struct mail *mail)
{
	control_on_message(thread->control, mail->u.message.peer, mail->u.message.is_answer, mail->u.message.id,
			   mail->u.message.bytes, mail->u.message.size);
}

static void deliver_disk_failed(struct control_thread *thread, const struct mail *mail)
{
	control_on_disk_failed(thread->control, mail->u.failed.disk, mail->u.failed.code);
}

static void (*const deliveries[MAIL_KINDS])(struct control_thread *thread, const struct mail *mail) = {
	[MAIL_ANSWER] = deliver_answer,
	[MAIL_UNIT] = deliver_unit,
	[MAIL_LINK] = deliver_link,
	[MAIL_MESSAGE] = deliver_message,
	[MAIL_DISK_FAILED] = deliver_disk_failed,
};

static void control_thread_deliver(struct control_thread *thread)
{
	struct list mails;

	mailbox_take(thread->mailbox, &mails);
	list_for_each(entry, &mails) {
		struct mail *mail = container_of(entry, struct mail, link);

		deliveries[mail->kind](thread, mail);
		mail_free(mail);
	}
}

/* --- the loop --- */

static int signal_take(int signal_fd)
{
	struct signalfd_siginfo info;

	return read(signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) ? (int)info.ssi_signo : 0;
}

static void control_thread_check_ready(struct control_thread *thread)
{
	if (thread->ready || thread->outstanding > 0)
		return;
	thread->ready = true;
	thread->on_ready(thread->data);
}

/* The shorter of the two, where -1 is none. */
static int limit_min(int one_ms, int other_ms)
{
	return other_ms >= 0 && (one_ms < 0 || other_ms < one_ms) ? other_ms : one_ms;
}

int control_thread_run(struct control_thread *thread, struct error *error)
{
	const struct doors *doors = thread->doors;
	struct pollfd fds[2 + DIALECTS] = {
		{ .fd = mailbox_fd(thread->mailbox), .events = POLLIN },
		{ .fd = thread->signal_fd, .events = POLLIN },
	};

	for (size_t i = 0; i < doors->count; i++)
		fds[2 + i] = (struct pollfd){ .fd = http_server_fd(doors->rows[i].server), .events = POLLIN };
	for (;;) {
		int limit_ms = limit_min((int)control_tick(thread->control), (int)huawei_tick(thread->huawei));

		control_thread_check_ready(thread);
		for (size_t i = 0; i < doors->count; i++)
			limit_ms = limit_min(limit_ms, http_server_timeout(doors->rows[i].server));
		if (poll(fds, 2 + doors->count, limit_ms) < 0 && errno != EINTR)
			return error_set_errno(error, -errno, "the control thread cannot wait");
		if (fds[0].revents != 0)
			control_thread_deliver(thread);
		for (size_t i = 0; i < doors->count; i++)
			http_server_run(doors->rows[i].server);
		if (fds[1].revents != 0) {
			int number = signal_take(thread->signal_fd);

			if (number == SIGHUP)
				thread->on_reload(thread->data);
			else if (number > 0)
				return number;
		}
	}
}
