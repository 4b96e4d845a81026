/* See mailbox.h. A list, a lock held for a few instructions, and an eventfd that wakes the reader. */
#include "daemon/mailbox.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/memory.h"

struct mailbox {
	pthread_mutex_t lock;
	struct list mails; /* under the lock, as are the counts */
	size_t message_count;
	size_t message_bytes;
	int fd;
};

struct mail *mail_new(enum mail_kind kind)
{
	struct mail *mail = memory_new(1, sizeof(*mail));

	list_init(&mail->link);
	mail->kind = kind;
	return mail;
}

void mail_free(struct mail *mail)
{
	if (mail->kind == MAIL_MESSAGE)
		free(mail->u.message.bytes);
	free(mail);
}

int mailbox_new(struct mailbox **out_mailbox, struct error *error)
{
	struct mailbox *mailbox;
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	if (fd < 0)
		return error_set_errno(error, -errno, "cannot make an eventfd");
	mailbox = memory_new(1, sizeof(*mailbox));
	pthread_mutex_init(&mailbox->lock, NULL);
	list_init(&mailbox->mails);
	mailbox->fd = fd;
	*out_mailbox = mailbox;
	return 0;
}

void mailbox_free(struct mailbox *mailbox)
{
	list_for_each(entry, &mailbox->mails)
		mail_free(container_of(entry, struct mail, link));
	close(mailbox->fd);
	pthread_mutex_destroy(&mailbox->lock);
	free(mailbox);
}

int mailbox_fd(const struct mailbox *mailbox)
{
	return mailbox->fd;
}

/* The older status of the same unit, which nobody needs any more. */
static struct mail *mailbox_take_unit(struct mailbox *mailbox, const char *unit)
{
	list_for_each(entry, &mailbox->mails) {
		struct mail *mail = container_of(entry, struct mail, link);

		if (mail->kind == MAIL_UNIT && strcmp(mail->u.unit.id, unit) == 0) {
			list_remove(&mail->link);
			return mail;
		}
	}
	return NULL;
}

static bool mailbox_has_room(const struct mailbox *mailbox, const struct mail *mail)
{
	return mail->kind != MAIL_MESSAGE || (mailbox->message_count < MAILBOX_MESSAGES_MAX &&
					      mailbox->message_bytes + mail->u.message.size <= MAILBOX_BYTES_MAX);
}

int mailbox_put(struct mailbox *mailbox, struct mail *mail)
{
	struct mail *old = NULL;
	uint64_t one = 1;
	ssize_t written;

	pthread_mutex_lock(&mailbox->lock);
	if (!mailbox_has_room(mailbox, mail)) {
		pthread_mutex_unlock(&mailbox->lock);
		mail_free(mail);
		return -ENOSPC;
	}
	if (mail->kind == MAIL_UNIT)
		old = mailbox_take_unit(mailbox, mail->u.unit.id);
	if (mail->kind == MAIL_MESSAGE) {
		mailbox->message_count++;
		mailbox->message_bytes += mail->u.message.size;
	}
	list_append(&mailbox->mails, &mail->link);
	pthread_mutex_unlock(&mailbox->lock);
	if (old != NULL)
		mail_free(old);
	/* Fails only when the counter is full, and then the reader is awake. */
	written = write(mailbox->fd, &one, sizeof(one));
	(void)written;
	return 0;
}

void mailbox_take(struct mailbox *mailbox, struct list *out_mails)
{
	uint64_t count;
	ssize_t got = read(mailbox->fd, &count, sizeof(count)); /* before the list: mail put after it wakes us again */

	(void)got;
	list_init(out_mails);
	pthread_mutex_lock(&mailbox->lock);
	list_splice(out_mails, &mailbox->mails);
	mailbox->message_count = 0;
	mailbox->message_bytes = 0;
	pthread_mutex_unlock(&mailbox->lock);
}
