/* One line an event: level, what happened, ids as key=value. Library code below the doors logs at debug only, but for
 * events an operator must see (a disk that failed, a recovery point that is late).
 *
 * The sink is set once at start by the program (daemon: stderr; simulator: its trace; tests: none) and may be called by any
 * thread. Without a sink events are dropped. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_ERROR, LOG_WARNING, LOG_INFO, LOG_DEBUG, LOG_LEVELS };

/* `line` is complete but for time and level: "unit.committed unit=pg-1 epoch=7". Borrows all. */
typedef void log_sink(void *data, enum log_level level, const char *line);

void log_set_sink(log_sink *sink, void *data, enum log_level max);

/* `what` is "module.event"; the rest key=value pairs. Values with spaces are quoted by the caller. */
void log_event(enum log_level level, const char *what, const char *format, ...) __attribute__((format(printf, 3, 4)));

const char *log_level_name(enum log_level level);

#endif
