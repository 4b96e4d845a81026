/* Where the daemon's events go: standard error, one line each, or journald when that reads standard error. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include "base/log.h"

/* Sets the sink; events above `max` are dropped. Any thread may log from then on. May be called again. */
void daemon_log_open(enum log_level max);

#endif
