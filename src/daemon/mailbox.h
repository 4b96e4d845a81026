/* What the shard tells the control thread: answers and engine events, in order.
 *
 * One side puts, on any thread; the other takes, on the control thread, when mailbox_fd() is readable. What grows without
 * anybody waiting for it is bounded: a unit's status replaces its older one, messages of peers have limits. */
#ifndef DAEMON_MAILBOX_H
#define DAEMON_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/list.h"
#include "repl/engine.h"

#define MAILBOX_MESSAGES_MAX 1024                 /* of peers, waiting */
#define MAILBOX_BYTES_MAX (64u * 1024u * 1024u)   /* in them */

#define MAIL_LIST(X) X(ANSWER) X(UNIT) X(LINK) X(MESSAGE) X(DISK_FAILED)

enum mail_kind {
#define X(name) MAIL_##name,
	MAIL_LIST(X)
#undef X
	MAIL_KINDS,
};

struct mail {
	struct list link; /* of the mailbox */
	enum mail_kind kind;
	union {
		struct {
			uint64_t command_id;
			struct error error;
		} answer;
		struct unit_status unit;
		struct {
			char peer[ENGINE_ID_SIZE];
			bool up;
			char reason[160];
		} link;
		struct {
			char peer[ENGINE_ID_SIZE];
			bool is_answer;
			uint64_t id;
			char *bytes; /* freed by mail_free */
			size_t size;
		} message;
		struct {
			char disk[ENGINE_ID_SIZE];
			int code;
		} failed;
	} u;
};

struct mailbox;

int mailbox_new(struct mailbox **out_mailbox, struct error *error);
void mailbox_free(struct mailbox *mailbox); /* drops what is in it */

/* Readable while there is mail. */
int mailbox_fd(const struct mailbox *mailbox);

/* Takes the mail (from mail_new). -ENOSPC, and the mail is freed, when too many messages wait. */
int mailbox_put(struct mailbox *mailbox, struct mail *mail);
/* Moves all mail to `out_mails`, in order; the caller frees each with mail_free. */
void mailbox_take(struct mailbox *mailbox, struct list *out_mails);

struct mail *mail_new(enum mail_kind kind);
void mail_free(struct mail *mail);

#endif
