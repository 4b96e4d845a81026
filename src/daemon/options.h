/* The command line of offsited. */
#ifndef DAEMON_OPTIONS_H
#define DAEMON_OPTIONS_H

#include "daemon/config.h"

enum options_action {
	OPTIONS_RUN,
	OPTIONS_CHECK, /* read the configuration, say whether it is good, end */
	OPTIONS_EXIT,  /* help or version was printed: end with status 0 */
	OPTIONS_WRONG, /* said on stderr what is wrong: end with status 2 */
};

struct options {
	char directory[CONFIG_PATH_SIZE]; /* --dir, absolute; "" when not given */
	char config[CONFIG_PATH_SIZE];    /* the file to read, absolute; "" for none */
};

enum options_action options_parse(struct options *options, int count, char **arguments);

#endif
