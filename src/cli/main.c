/* offsite: reads the command line after the table of commands. */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

enum exit_status { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2 };

#define GLOBAL (option_bit(DIR) | option_bit(ENDPOINT) | option_bit(JSON) | option_bit(HELP))
#define TEXT (option_bit(NAME))
#define SYNOPSIS_SIZE 128
#define SYNOPSIS_WIDTH 36
#define LONG_OPTION 1000 /* apart from the letters, and from the 1 that getopt gives for a word */

const struct command commands[] = {
	{ "site", "list", "", 0, 0, 0, "this site and its peers, and whether they are linked", run_site_list, NULL },
	{ "site", "show", "", 0, 0, 0, "the same", run_site_list, NULL },
	{ "site", "limit", "ZONE", 1, option_bit(RATE), 0, "how fast all pairs together may ship to a peer", run_site_limit,
	  "ModifyOffsitePeer" },
	{ "disk", "list", "", 0, 0, 0, "the disks of this site", run_disk_list, NULL },
	{ "disk", "show", "DISK", 1, 0, 0, "one disk, and where to reach it over NBD", run_disk_list, NULL },
	{ "disk", "create", "--size SIZE|--adopt PATH", 0, 0,
	  TEXT | option_bit(SIZE) | option_bit(ADOPT) | option_bit(CACHE), "make a disk, or adopt a file or device",
	  run_disk_create, "CreateDisk" },
	{ "disk", "attach", "DISK", 1, option_bit(INSTANCE), 0, "open its export for writing", run_disk_change,
	  "AttachDisk" },
	{ "disk", "detach", "DISK", 1, 0, option_bit(INSTANCE), "close its export", run_disk_change, "DetachDisk" },
	{ "disk", "resize", "DISK", 1, option_bit(SIZE), 0, "grow a disk, or a pair by its primary, in whole GiB",
	  run_disk_change, "ResizeDisk" },
	{ "disk", "modify", "DISK", 1, option_bit(CACHE), 0, "whether it uses the kernel's cache, once it is attached again",
	  run_disk_change, "ModifyDiskAttribute" },
	{ "disk", "delete", "DISK", 1, 0, 0, "remove a disk that is detached and in no pair", run_disk_change,
	  "DeleteDisk" },
	{ "pair", "list", "", 0, 0, 0, "pairs of this site", run_replica_list, NULL },
	{ "pair", "show", "PAIR", 1, 0, 0, "one pair", run_replica_list, NULL },
	{ "pair", "create", "", 0, option_bit(DISK) | option_bit(TO) | option_bit(TO_DISK), TEXT | option_bit(RPO),
	  "pair a disk here with one at another site", run_pair_create, "CreateDiskReplicaPair" },
	{ "pair", "start", "PAIR", 1, 0, option_bit(ONE_SHOT) | option_bit(WAIT), "replicate", run_replica_change,
	  "StartDiskReplicaPair" },
	{ "pair", "stop", "PAIR", 1, 0, option_bit(WAIT), "stop replicating; the recovery point stays",
	  run_replica_change, "StopDiskReplicaPair" },
	{ "pair", "preview", "PAIR", 1, 0, 0, "what a change of sides would cost now", run_replica_preview,
	  "PreviewDiskReplicaPair" },
	{ "pair", "failover", "PAIR", 1, 0, option_bit(WAIT), "make the secondary writable", run_replica_change,
	  "FailoverDiskReplicaPair" },
	{ "pair", "reprotect", "PAIR", 1, 0, option_bit(CANCEL) | option_bit(WAIT),
	  "after a failover: turn the direction, the old primary will follow", run_replica_change, "ReprotectDiskReplicaPair" },
	{ "pair", "switchover", "PAIR", 1, 0, option_bit(WAIT), "change sides as planned, and lose nothing", run_replica_change,
	  "SwitchoverDiskReplicaPair" },
	{ "pair", "scrub", "PAIR", 1, 0, option_bit(WAIT), "compare both sides by hash; what differs is repaired",
	  run_replica_change, "ScrubDiskReplicaPair" },
	{ "pair", "discard", "PAIR", 1, 0, 0, "drop what a site keeps of what only it held before a reprotect", run_replica_change,
	  "DiscardDiskReplicaPairDivergence" },
	{ "pair", "delete", "PAIR", 1, 0, option_bit(WAIT), "forget the pair; the disks stay", run_replica_change,
	  "DeleteDiskReplicaPair" },
	{ "pair", "watch", "PAIR", 1, 0, option_bit(ONCE), "a live view", run_watch, NULL },
	{ "group", "list", "", 0, 0, 0, "groups of this site", run_replica_list, NULL },
	{ "group", "show", "GROUP", 1, 0, 0, "one group", run_replica_list, NULL },
	{ "group", "create", "", 0, option_bit(TO), TEXT | option_bit(RPO), "make a group of pairs to one other site",
	  run_group_create, "CreateDiskReplicaGroup" },
	{ "group", "add", "GROUP PAIR", 2, 0, 0, "put a pair into a group", run_group_member, "AddDiskReplicaPair" },
	{ "group", "remove", "GROUP PAIR", 2, 0, 0, "take a pair out of a group", run_group_member,
	  "RemoveDiskReplicaPair" },
	{ "group", "start", "GROUP", 1, 0, option_bit(ONE_SHOT) | option_bit(WAIT), "replicate", run_replica_change,
	  "StartDiskReplicaGroup" },
	{ "group", "stop", "GROUP", 1, 0, option_bit(WAIT), "stop replicating; the recovery point stays",
	  run_replica_change, "StopDiskReplicaGroup" },
	{ "group", "preview", "GROUP", 1, 0, 0, "what a change of sides would cost now", run_replica_preview,
	  "PreviewDiskReplicaGroup" },
	{ "group", "failover", "GROUP", 1, 0, option_bit(WAIT), "make all its secondaries writable, at one instant",
	  run_replica_change, "FailoverDiskReplicaGroup" },
	{ "group", "reprotect", "GROUP", 1, 0, option_bit(CANCEL) | option_bit(WAIT),
	  "after a failover: turn the direction, the old primaries will follow", run_replica_change,
	  "ReprotectDiskReplicaGroup" },
	{ "group", "switchover", "GROUP", 1, 0, option_bit(WAIT), "change sides as planned, and lose nothing",
	  run_replica_change, "SwitchoverDiskReplicaGroup" },
	{ "group", "scrub", "GROUP", 1, 0, option_bit(WAIT), "compare both sides by hash; what differs is repaired",
	  run_replica_change, "ScrubDiskReplicaGroup" },
	{ "group", "discard", "GROUP", 1, 0, 0, "drop what a site keeps of what only it held before a reprotect",
	  run_replica_change, "DiscardDiskReplicaGroupDivergence" },
	{ "group", "delete", "GROUP", 1, 0, option_bit(WAIT), "forget an empty group", run_replica_change,
	  "DeleteDiskReplicaGroup" },
	{ "group", "watch", "GROUP", 1, 0, option_bit(ONCE), "a live view", run_watch, NULL },
	{ "user", "list", "", 0, 0, 0, "users, and what they may do", run_user_list, "ListUsers" },
	{ "user", "create", "USER", 1, 0, option_bit(COMMENT), "make a user, who may do nothing yet",
	  run_user_change, "CreateUser" },
	{ "user", "attach", "USER POLICY", 2, 0, 0, "let a user do what a policy allows",
	  run_user_change, "AttachPolicyToUser" },
	{ "user", "detach", "USER POLICY", 2, 0, 0, "the opposite", run_user_change, "DetachPolicyFromUser" },
	{ "user", "delete", "USER", 1, 0, 0, "remove a user without keys and policies",
	  run_user_change, "DeleteUser" },
	{ "role", "list", "", 0, 0, 0, "roles: what users may do for a while, with a token", run_user_list, "ListRoles" },
	{ "role", "create", "ROLE", 1, 0, option_bit(COMMENT), "make a role, who may do nothing yet",
	  run_user_change, "CreateRole" },
	{ "role", "attach", "ROLE POLICY", 2, 0, 0, "let a role do what a policy allows",
	  run_user_change, "AttachPolicyToRole" },
	{ "role", "detach", "ROLE POLICY", 2, 0, 0, "the opposite", run_user_change, "DetachPolicyFromRole" },
	{ "role", "delete", "ROLE", 1, 0, 0, "remove a role without policies", run_user_change, "DeleteRole" },
	{ "key", "list", "", 0, 0, option_bit(USER), "access keys", run_key_list, NULL },
	{ "key", "create", "", 0, option_bit(USER), 0, "make an access key; its secret is shown once", run_key_create, NULL },
	{ "key", "disable", "KEY", 1, 0, option_bit(USER), "calls with it are refused from now on", run_key_change,
	  "UpdateAccessKey" },
	{ "key", "enable", "KEY", 1, 0, option_bit(USER), "the opposite", run_key_change, "UpdateAccessKey" },
	{ "key", "delete", "KEY", 1, 0, option_bit(USER), "forget an access key", run_key_change, "DeleteAccessKey" },
	{ "policy", "list", "", 0, 0, 0, "policies", run_policy_list, NULL },
	{ "policy", "show", "POLICY", 1, 0, 0, "the text of one", run_policy_show, NULL },
	{ "policy", "create", "POLICY", 1, option_bit(FILE), 0, "store a policy, to be attached to users and roles",
	  run_policy_create, NULL },
	{ "policy", "delete", "POLICY", 1, 0, 0, "remove a policy that is attached to nobody", run_policy_delete, NULL },
};
const unsigned command_count = sizeof commands / sizeof commands[0];

static const struct option_row {
	const char *name, *value, *help;
} option_rows[OPTIONS] = {
#define X(id, name, value, help) { name, value, help },
	OPTION_LIST(X)
#undef X
};

/* --- help --- */

static void print_options(FILE *out, unsigned bits)
{
	char left[64];

	for (unsigned i = 0; i < OPTIONS; i++) {
		if ((bits & 1u << i) == 0)
			continue;
		snprintf(left, sizeof left, "--%s%s%s", option_rows[i].name, option_rows[i].value == NULL ? "" : " ",
			 option_rows[i].value == NULL ? "" : option_rows[i].value);
		fprintf(out, "  %-20s %s\n", left, option_rows[i].help);
	}
}

/* "disk attach DISK --instance ID": what cannot be left out. */
static void write_synopsis(const struct command *command, char *out, size_t room)
{
	int at = snprintf(out, room, "%s %s%s%s", command->noun, command->verb, command->arguments[0] == 0 ? "" : " ",
			  command->arguments);

	for (unsigned i = 0; i < OPTIONS && at >= 0 && (size_t)at < room; i++) {
		if ((command->needed & 1u << i) != 0)
			at += snprintf(out + at, room - (size_t)at, " --%s %s", option_rows[i].name, option_rows[i].value);
	}
}

static int help_all(FILE *out, const char *noun)
{
	char left[SYNOPSIS_SIZE];

	fprintf(out, "usage: offsite NOUN VERB [ARGUMENT...] [--option...]\n\n");
	for (unsigned i = 0; i < command_count; i++) {
		if (noun != NULL && strcmp(noun, commands[i].noun) != 0)
			continue;
		write_synopsis(&commands[i], left, sizeof left);
		if (strlen(left) > SYNOPSIS_WIDTH)
			fprintf(out, "  offsite %s\n%*s%s\n", left, SYNOPSIS_WIDTH + 11, "", commands[i].help);
		else
			fprintf(out, "  offsite %-*s %s\n", SYNOPSIS_WIDTH, left, commands[i].help);
	}
	fprintf(out, "\neverywhere:\n");
	print_options(out, GLOBAL);
	fprintf(out, "  %-20s %s\n\n\"offsite NOUN VERB --help\" tells the options of one. Names may stand for ids.\n",
		"--version", "the version");
	return out == stdout ? EXIT_DONE : EXIT_USAGE;
}

static int help_one(const struct command *command)
{
	char left[SYNOPSIS_SIZE];

	write_synopsis(command, left, sizeof left);
	printf("usage: offsite %s%s\n  %s\n\n", left, command->options == 0 ? "" : " [--option...]", command->help);
	print_options(stdout, command->needed | command->options | GLOBAL);
	return EXIT_DONE;
}

/* --- the nearest word, for typing mistakes --- */

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/* Levenshtein's distance of short words. */
static unsigned distance(const char *left, const char *right)
{
	unsigned row[32], width = (unsigned)strnlen(right, sizeof row / sizeof row[0] - 1);

	for (unsigned i = 0; i <= width; i++)
		row[i] = i;
	for (unsigned y = 1; *left != 0; left++, y++) {
		unsigned diagonal = row[0];

		row[0] = y;
		for (unsigned x = 1; x <= width; x++) {
			unsigned above = row[x];

			row[x] = least(above + 1, row[x - 1] + 1, diagonal + (*left != right[x - 1]));
			diagonal = above;
		}
	}
	return row[width];
}

static bool is_noun(const char *word)
{
	for (unsigned i = 0; i < command_count; i++) {
		if (strcmp(commands[i].noun, word) == 0)
			return true;
	}
	return false;
}

/* With an empty verb only the noun counts. */
static const struct command *nearest_command(const char *noun, const char *verb)
{
	const struct command *nearest = NULL;
	unsigned best = verb[0] == 0 ? 3 : 4;

	for (unsigned i = 0; i < command_count; i++) {
		unsigned far = distance(noun, commands[i].noun) + (verb[0] == 0 ? 0 : distance(verb, commands[i].verb));

		if (far < best) {
			best = far;
			nearest = &commands[i];
		}
	}
	return nearest;
}

static int unknown_command(const char *noun, const char *verb)
{
	const struct command *nearest = nearest_command(noun, verb);
	const char *blank = verb[0] == 0 ? "" : " ";

	if (nearest != NULL)
		fprintf(stderr, "offsite: there is no command \"%s%s%s\": did you mean \"offsite %s%s%s\"?\n", noun, blank, verb,
			nearest->noun, blank, verb[0] == 0 ? "" : nearest->verb);
	else
		fprintf(stderr, "offsite: there is no command \"%s%s%s\": \"offsite%s%s --help\" lists them\n", noun, blank, verb,
			is_noun(noun) ? " " : "", is_noun(noun) ? noun : "");
	return EXIT_USAGE;
}

/* --- the command line --- */

static const struct command *find_command(const char *noun, const char *verb)
{
	for (unsigned i = 0; i < command_count; i++) {
		if (strcmp(commands[i].noun, noun) == 0 && strcmp(commands[i].verb, verb) == 0)
			return &commands[i];
	}
	return NULL;
}

/* An option that is not right, with the help that tells the right ones: of the command, as far as it was read. */
static bool bad_option(const char *option, const char *what, const char *words[5])
{
	const struct command *command = find_command(words[0], words[1]);

	if (command != NULL)
		fprintf(stderr, "offsite: %s %s: see \"offsite %s %s --help\"\n", option, what, command->noun, command->verb);
	else
		fprintf(stderr, "offsite: %s %s: see \"offsite --help\"\n", option, what);
	return false;
}

/* Options may stand anywhere; the rest are words. False after a sentence about what is wrong. */
static bool parse(int argc, char **argv, struct invocation *invocation, const char *words[5], int *out_words)
{
	struct option long_options[OPTIONS + 2] = { 0 };
	int found;

	for (unsigned i = 0; i < OPTIONS; i++)
		long_options[i] = (struct option){ option_rows[i].name,
						   option_rows[i].value == NULL ? no_argument : required_argument, NULL,
						   LONG_OPTION + (int)i };
	long_options[OPTIONS] = (struct option){ "version", no_argument, NULL, LONG_OPTION + OPTIONS };
	opterr = 0;
	while ((found = getopt_long(argc, argv, "-:h", long_options, NULL)) != -1) {
		if (found == 1 && *out_words < 5) {
			words[(*out_words)++] = optarg;
		} else if (found == 1) {
			fprintf(stderr, "offsite: \"%s\" is one word too many\n", optarg);
			return false;
		} else if (found == '?') {
			return bad_option(argv[optind - 1], "is no option", words);
		} else if (found == ':') {
			return bad_option(argv[optind - 1], "lacks its value", words);
		} else if (found >= LONG_OPTION && optarg == argv[optind - 1] && strncmp(optarg, "--", 2) == 0) {
			return bad_option(argv[optind - 2], "lacks its value", words); /* the next option is not it */
		} else if (found == LONG_OPTION + OPTIONS) {
			printf("offsite %s\n", OFFSITE_VERSION);
			exit(EXIT_DONE);
		} else {
			invocation->options[found == 'h' ? OPTION_HELP : found - LONG_OPTION] = optarg == NULL ? "" : optarg;
		}
	}
	return true;
}

static bool check(const struct invocation *invocation, const char *const words[5], int word_count)
{
	const struct command *command = invocation->command;
	char right[SYNOPSIS_SIZE];

	write_synopsis(command, right, sizeof right);
	for (unsigned i = 0; i < OPTIONS; i++) {
		if (invocation->options[i] == NULL || ((command->needed | command->options | GLOBAL) & 1u << i) != 0)
			continue;
		fprintf(stderr, "offsite: \"%s %s\" has no option --%s: see \"offsite %s %s --help\"\n", command->noun,
			command->verb, option_rows[i].name, command->noun, command->verb);
		return false;
	}
	if (word_count - 2 > command->argument_count) {
		fprintf(stderr, "offsite: \"%s\" is one word too many: write \"offsite %s\"\n", words[2 + command->argument_count],
			right);
		return false;
	}
	if (word_count - 2 < command->argument_count) {
		fprintf(stderr, "offsite: too few words: write \"offsite %s\"\n", right);
		return false;
	}
	for (unsigned i = 0; i < OPTIONS; i++) {
		if ((command->needed & 1u << i) == 0 || (invocation->options[i] != NULL && invocation->options[i][0] != 0))
			continue;
		fprintf(stderr, "offsite: --%s is missing: write \"offsite %s\"\n", option_rows[i].name, right);
		return false;
	}
	return true;
}

static int run(struct invocation *invocation)
{
	struct error error = { 0 };
	int result = client_new(invocation->options[OPTION_DIR], invocation->options[OPTION_ENDPOINT], &invocation->client, &error);

	if (result == 0) {
		result = invocation->command->run(invocation, &error);
		client_free(invocation->client);
	}
	if (result == 0)
		return EXIT_DONE;
	fprintf(stderr, "offsite: %s\n", error.text);
	return result == -EINVAL ? EXIT_USAGE : EXIT_REFUSED;
}

int main(int argc, char **argv)
{
	struct invocation invocation = { 0 };
	const char *words[5] = { "", "", "", "", "" };
	int word_count = 0;
	bool help;

	if (!parse(argc, argv, &invocation, words, &word_count))
		return EXIT_USAGE;
	help = invocation.options[OPTION_HELP] != NULL;
	if (word_count == 1 && !is_noun(words[0]))
		return unknown_command(words[0], "");
	if (word_count < 2 && (help || word_count == 0))
		return help_all(help ? stdout : stderr, word_count == 1 ? words[0] : NULL);
	if (word_count == 1)
		return help_all(stderr, words[0]);
	invocation.command = find_command(words[0], words[1]);
	if (invocation.command == NULL)
		return unknown_command(words[0], words[1]);
	if (help)
		return help_one(invocation.command);
	for (int i = 2; i < word_count; i++)
		invocation.arguments[invocation.argument_count++] = words[i];
	if (!check(&invocation, words, word_count))
		return EXIT_USAGE;
	curl_global_init(CURL_GLOBAL_DEFAULT);
	return run(&invocation);
}
