/* Sockets that systemd has opened before this process began: sd_listen_fds(3). One thread, before any other is started. */
#ifndef DAEMON_ACTIVATION_H
#define DAEMON_ACTIVATION_H

#define ACTIVATION_FIRST 3u /* the descriptor of the first; the others follow it */

/* How many there are, 0 as a rule. The environment says so once: it is cleared, for this process has no heirs. */
unsigned activation_take(void);

#endif
