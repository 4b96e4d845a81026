/* Tells the service manager how the daemon does (sd_notify's protocol); silent when none listens. Any thread. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

/* "READY=1", "STOPPING=1", "STATUS=..." */
void notify_send(const char *state);

#endif
