/* The control thread's loop: HTTP, the shards' mail, signals and time limits, one after the other. The calling thread. */
#ifndef DAEMON_CONTROL_THREAD_H
#define DAEMON_CONTROL_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "control/port.h"

struct control;
struct huawei;
struct doors;
struct mailbox;
struct shards;

struct control_thread {
	struct mailbox *mailbox;
	struct shards *shards;
	struct control *control;
	struct huawei *huawei; /* whose jobs are looked at */
	const struct doors *doors;
	int signal_fd;        /* readable when there is a signal */
	uint64_t outstanding; /* commands sent to the shards and not answered yet */
	bool ready;           /* what the catalog holds has been opened, and users were told */
	void (*on_ready)(void *data);
	void (*on_reload)(void *data); /* SIGHUP: files may have changed */
	void *data;
};

/* The port to give to control_new; the thread must outlive the control. */
struct control_port control_thread_port(struct control_thread *thread);

/* Runs until a signal asks to end; returns its number. */
int control_thread_run(struct control_thread *thread, struct error *error);

#endif
