/* See options.h. */
#include "daemon/options.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DIRECTORY_DEFAULT "/var/lib/offsite"
#define CONFIG_DEFAULT "/etc/offsite/offsite.conf"

enum { OPTION_CHECK = 256 }; /* no short form */

static const char help[] =
	"Usage: offsited [--config FILE] [--dir DIR] [--check]\n"
	"Serves the disks of one site over NBD, keeps copies of them at other sites, and answers the API.\n"
	"\n"
	"  -c, --config FILE  read FILE (default: DIR/offsite.conf when --dir is given and that is there,\n"
	"                     else " CONFIG_DEFAULT " when it is there)\n"
	"  -d, --dir DIR      data folder, made when missing (default: \"data\" of the file, else " DIRECTORY_DEFAULT ")\n"
	"      --check        read the configuration, say what is wrong with it, and end\n"
	"  -h, --help         this text\n"
	"  -V, --version      the version\n"
	"\n"
	"\"offsited --dir DIR\" alone starts a useful site on loopback: API on 127.0.0.1:8650, NBD on 127.0.0.1:10809 and\n"
	"DIR/nbd.sock, peers on 127.0.0.1:8651. DIR/credentials holds the access key; \"offsite --dir DIR\" finds it there.\n"
	"Signals: SIGTERM and SIGINT stop cleanly; SIGHUP reads certificates and keys anew; SIGKILL loses nothing that was\n"
	"promised.\n"
	"Exit status: 0 stopped as asked, 1 could not start or run, 2 wrong command line or configuration.\n";

/* The path from the root: the working folder may be another when it is used. */
static bool path_make_absolute(const char *path, char out_path[CONFIG_PATH_SIZE])
{
	char here[CONFIG_PATH_SIZE] = "";
	int length;

	if (path[0] != '/' && getcwd(here, sizeof(here)) == NULL)
		return false;
	if (path[0] == '/')
		length = snprintf(out_path, CONFIG_PATH_SIZE, "%s", path);
	else
		length = snprintf(out_path, CONFIG_PATH_SIZE, "%s/%s", here, path);
	/* "DIR/" and "DIR" are the same folder; its name goes into messages and addresses. */
	while (length > 1 && length < CONFIG_PATH_SIZE && out_path[length - 1] == '/')
		out_path[--length] = '\0';
	return path[0] != '\0' && length > 0 && length < CONFIG_PATH_SIZE;
}

static enum options_action options_take(struct options *options, int option, enum options_action action)
{
	switch (option) {
	case 'c':
		if (!path_make_absolute(optarg, options->config)) {
			fprintf(stderr, "offsited: --config: the path is empty or too long\n");
			return OPTIONS_WRONG;
		}
		return action;
	case 'd':
		if (!path_make_absolute(optarg, options->directory)) {
			fprintf(stderr, "offsited: --dir: the path is empty or too long\n");
			return OPTIONS_WRONG;
		}
		return action;
	case OPTION_CHECK:
		return OPTIONS_CHECK;
	case 'h':
		fputs(help, stdout);
		return OPTIONS_EXIT;
	case 'V':
		puts("offsited " OFFSITE_VERSION);
		return OPTIONS_EXIT;
	default:
		fprintf(stderr, "Try \"offsited --help\".\n");
		return OPTIONS_WRONG;
	}
}

/* Which file is read when none was named. */
static bool options_find_config(struct options *options)
{
	char path[CONFIG_PATH_SIZE + 32] = CONFIG_DEFAULT;

	if (options->directory[0] != '\0')
		snprintf(path, sizeof(path), "%s/offsite.conf", options->directory);
	if (strlen(path) >= sizeof(options->config)) {
		fprintf(stderr, "offsited: --dir: the path is too long\n");
		return false;
	}
	if (access(path, F_OK) == 0)
		memcpy(options->config, path, strlen(path) + 1);
	return true;
}

enum options_action options_parse(struct options *options, int count, char **arguments)
{
	static const struct option longs[] = {
		{ "config", required_argument, NULL, 'c' }, { "dir", required_argument, NULL, 'd' },
		{ "check", no_argument, NULL, OPTION_CHECK }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },      { NULL, 0, NULL, 0 },
	};
	enum options_action action = OPTIONS_RUN;
	int option;

	*options = (struct options){ 0 };
	while ((option = getopt_long(count, arguments, "c:d:hV", longs, NULL)) != -1) {
		action = options_take(options, option, action);
		if (action == OPTIONS_EXIT || action == OPTIONS_WRONG)
			return action;
	}
	if (optind < count) {
		fprintf(stderr, "offsited: \"%s\" is not an option. Try \"offsited --help\".\n", arguments[optind]);
		return OPTIONS_WRONG;
	}
	if (options->config[0] == '\0' && !options_find_config(options))
		return OPTIONS_WRONG;
	if (options->directory[0] == '\0' && options->config[0] == '\0')
		snprintf(options->directory, sizeof(options->directory), DIRECTORY_DEFAULT);
	return action;
}
