/* offsited: puts the parts together, in this order, and takes them down in the reverse one.
 *
 *     options, configuration, log     nothing is touched yet: a bad configuration changes nothing
 *     data folder                     its lock makes us the only one
 *     catalog, auth                   on this thread, the control thread
 *     shards                          a thread each: loop, engine, NBD server; the first listens
 *     control                         opens the disks and units that the catalog holds
 *     doors                           the API: its dialects, and where they listen
 *     ready                           when the shards have answered for all of them
 *
 * A start that fails says why in one line and ends with status 1 (2 for the command line and the configuration). */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/aliyun/aliyun.h"
#include "api/http/http.h"
#include "api/huawei/huawei.h"
#include "auth/auth.h"
#include "base/log.h"
#include "base/memory.h"
#include "catalog/catalog.h"
#include "control/control.h"
#include "daemon/activation.h"
#include "daemon/config.h"
#include "daemon/control_thread.h"
#include "daemon/data_folder.h"
#include "daemon/doors.h"
#include "daemon/log.h"
#include "daemon/mailbox.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/shards.h"
#include "daemon/tls_files.h"
#include "tls/credentials.h"

#define STOP_LIMIT_MS 10000 /* then the process ends as if killed, which is safe */
#define RPO_S_DEFAULT 900   /* the cloud's */
#define DESCRIPTORS_SPARE (DIALECTS * HTTP_CONNECTIONS_MAX + 64u) /* calls, links, and files that are open for a moment */

#define HEAP_PIECE_MAX (4 << 20)  /* bytes; larger ones are mapped and unmapped each on its own */
#define HEAP_KEPT_MAX (64 << 20)  /* bytes at the end of a thread's heap that are not given back to the kernel */

enum exit_status { EXIT_STOPPED = 0, EXIT_FAILED = 1, EXIT_CONFIGURATION = 2 };

struct daemon {
	struct config config;
	struct data_folder folder;
	char run_directory[CONFIG_PATH_SIZE];
	struct tls_credentials *tls; /* NULL when it is off */
	struct catalog *catalog;
	struct auth *auth;
	struct mailbox *mailbox;
	struct shards *shards;
	struct control_thread thread;
	struct control *control;
	struct aliyun *aliyun;
	struct huawei *huawei;
	struct doors doors;
	char endpoint[CONFIG_ADDRESS_SIZE + 16];
};

static int say(const struct error *error, int status)
{
	fprintf(stderr, "offsited: %s\n", error->text);
	return status;
}

/* --- configuration --- */

static int daemon_configure(struct daemon *daemon, const struct options *options, struct error *error)
{
	const char *file = options->config[0] == '\0' ? NULL : options->config;
	int code = 0;

	config_init(&daemon->config, options->directory);
	if (file != NULL)
		code = config_read(&daemon->config, file, error);
	/* --dir beats the file: it is what the user typed last. */
	if (code == 0 && options->directory[0] != '\0')
		memcpy(daemon->config.directory, options->directory, sizeof(daemon->config.directory));
	if (code == 0)
		code = config_check(&daemon->config, file, error);
	if (code == 0)
		code = tls_files_load(&daemon->config, &daemon->tls, error);
	return code;
}

static void daemon_forget_configuration(struct daemon *daemon)
{
	tls_credentials_unref(daemon->tls);
	config_fini(&daemon->config);
}

/* --- signals and limits --- */

/* Before any thread: all inherit the mask, so that only the control thread, through the descriptor, sees the signals. */
static int daemon_open_signals(struct daemon *daemon, struct error *error)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct rlimit files;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || sigaction(SIGPIPE, &ignore, NULL) < 0)
		return error_set_errno(error, -errno, "cannot set up signals");
	daemon->thread.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->thread.signal_fd < 0)
		return error_set_errno(error, -errno, "cannot make a signal descriptor");
	/* A client is a descriptor; the usual soft limit of 1024 is for programs that use select(). */
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(077);
	return 0;
}

/* --- names that others see --- */

/* A path as it may stand in a URI's query, RFC 3986. */
static void uri_escape(const char *path, char *out, size_t size)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
	size_t at = 0;

	for (; *path != '\0' && at + 4 <= size; path++) {
		if (strchr(plain, *path))
			out[at++] = *path;
		else
			at += (size_t)snprintf(out + at, 4, "%%%02X", (unsigned)(unsigned char)*path);
	}
	out[at] = '\0';
}

/* Where a client on this machine reaches what listens on any address. */
static void endpoint_write(const char *listen, const char *scheme, const char *tail, char *out, size_t size)
{
	const char *port = strrchr(listen, ':');
	int host = (int)(port - listen);

	if (strncmp(listen, "0.0.0.0:", 8) == 0)
		snprintf(out, size, "%s://127.0.0.1%s%s", scheme, port, tail);
	else if (strncmp(listen, "[::]:", 5) == 0)
		snprintf(out, size, "%s://[::1]%s%s", scheme, port, tail);
	else
		snprintf(out, size, "%s://%.*s%s%s", scheme, host, listen, port, tail);
}

/* "{disk}" stands for a disk's id: it is not always at the end. */
static void nbd_uris_write(const struct daemon *daemon, char uris[2][256])
{
	const char *address = shards_nbd_address(daemon->shards), *path = shards_nbd_unix(daemon->shards);
	bool secure = daemon->config.nbd_tls == NBD_TLS_REQUIRED;
	char socket[224];

	uris[0][0] = uris[1][0] = '\0';
	if (address[0] != '\0')
		endpoint_write(address + strlen("tcp:"), secure ? "nbds" : "nbd", "/{disk}", uris[0], sizeof(uris[0]));
	if (path[0] != '\0') {
		uri_escape(path, socket, sizeof(socket));
		snprintf(uris[1], sizeof(uris[1]), "%s+unix:///{disk}?socket=%s", secure ? "nbds" : "nbd", socket);
	}
}

/* --- opening, one part a function --- */

static int daemon_open_store(struct daemon *daemon, struct error *error)
{
	char path[CONFIG_PATH_SIZE + 32];

	snprintf(path, sizeof(path), "%s/catalog.sqlite", daemon->folder.path);
	if (catalog_open(path, &daemon->catalog, error) < 0)
		return error_wrap(error, "%.150s", path);
	return auth_new(daemon->catalog, daemon->folder.path, &daemon->auth, error);
}

static int daemon_open_shards(struct daemon *daemon, struct error *error)
{
	struct shards_options options = {
		.config = &daemon->config,
		.directory = daemon->folder.path,
		.run_directory = daemon->run_directory,
		.given_sockets = activation_take(),
		.tls = daemon->tls,
	};
	int code = mailbox_new(&daemon->mailbox, error);

	if (code < 0)
		return code;
	options.mailbox = daemon->mailbox;
	return shards_start(&options, &daemon->shards, error);
}

static void site_fill(struct control_site *site, const char *region, const char *zone)
{
	snprintf(site->name, sizeof(site->name), "%s", zone);
	snprintf(site->region, sizeof(site->region), "%s", region);
	snprintf(site->zone, sizeof(site->zone), "%s", zone);
}

static int daemon_open_control(struct daemon *daemon, struct error *error)
{
	AUTO_FREE struct control_site *peers = memory_new(daemon->config.peer_count + 1, sizeof(*peers));
	struct control_config config = {
		.peers = peers,
		.peer_count = daemon->config.peer_count,
		.pairs_per_group_max = daemon->config.pairs_per_group,
		.rpo_s_default = RPO_S_DEFAULT,
	};
	struct control_port port = control_thread_port(&daemon->thread);

	site_fill(&config.site, daemon->config.region, daemon->config.zone);
	for (size_t i = 0; i < config.peer_count; i++)
		site_fill(&peers[i], daemon->config.peers[i].region, daemon->config.peers[i].zone);
	snprintf(config.directory, sizeof(config.directory), "%s", daemon->folder.path);
	nbd_uris_write(daemon, config.nbd_uris);
	daemon->thread.mailbox = daemon->mailbox;
	daemon->thread.shards = daemon->shards;
	daemon->control = control_new(&config, daemon->catalog, &port, error);
	daemon->thread.control = daemon->control;
	return daemon->control == NULL ? error->code : 0;
}

static int daemon_open_doors(struct daemon *daemon, struct error *error)
{
	char uris[2][256];
	const struct aliyun_config aliyun = { .control = daemon->control, .auth = daemon->auth,
					      .nbd_uris = { uris[0], uris[1] } };
	const struct huawei_config huawei = { .control = daemon->control, .auth = daemon->auth, .catalog = daemon->catalog,
					      .nbd_uris = { uris[0], uris[1] }, .url = daemon->config.api_url };

	nbd_uris_write(daemon, uris);
	daemon->aliyun = aliyun_new(&aliyun);
	daemon->huawei = huawei_new(&huawei, error);
	if (daemon->huawei == NULL)
		return error->code;
	daemon->thread.huawei = daemon->huawei;
	daemon->doors.receivers[DIALECT_ALIYUN] = (struct receiver){ aliyun_on_request, daemon->aliyun };
	daemon->doors.receivers[DIALECT_HUAWEI] = (struct receiver){ huawei_on_request, daemon->huawei };
	daemon->thread.doors = &daemon->doors;
	if (doors_open(&daemon->doors, &daemon->config, error) < 0)
		return error->code;
	endpoint_write(doors_address(&daemon->doors, DIALECT_ALIYUN), "http", "", daemon->endpoint, sizeof(daemon->endpoint));
	return 0;
}

/* Once, for whoever starts it by hand; a journal keeps it as private as the folder does. */
static void daemon_show_key(const struct daemon *daemon, const struct auth_key *key)
{
	printf("offsited: the first access key, of the user " AUTH_ROOT ", also in %s/credentials:\n  id      %s\n  secret  %s\n",
	       daemon->folder.path, key->id, key->secret);
	fflush(stdout);
}

/* Rewrites DATA/credentials only when it would change, so that a reader is not disturbed at each start. */
static int daemon_save_credentials(struct daemon *daemon, struct error *error)
{
	const char *const names[] = { "endpoint", "access_key_id", "access_key_secret" };
	const struct auth_key *key = auth_first_key(daemon->auth);
	const char *const values[] = { daemon->endpoint, key->id, key->secret };
	char present[CONFIG_ADDRESS_SIZE + 16];
	bool same = true, none = data_folder_read_credential(&daemon->folder, names[1], present, sizeof(present)) < 0;
	int code;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (data_folder_read_credential(&daemon->folder, names[i], present, sizeof(present)) < 0 ||
		    strcmp(present, values[i]) != 0)
			same = false;
	memory_wipe(present, sizeof(present));
	code = same ? 0 : data_folder_write_credentials(&daemon->folder, values[0], values[1], values[2], error);
	if (code == 0 && none)
		daemon_show_key(daemon, key);
	return code;
}

static void daemon_on_first_key(void *data)
{
	struct error error = { 0 };

	if (daemon_save_credentials(data, &error) < 0)
		log_event(LOG_ERROR, "daemon.credentials_old", "reason=\"%s\"", error.text);
}

static int daemon_open(struct daemon *daemon, struct error *error)
{
	int code = data_folder_init(&daemon->folder, daemon->config.directory, error);

	if (code == 0)
		code = data_folder_find_run(&daemon->folder, daemon->config.run_directory, daemon->run_directory, error);
	if (code == 0)
		code = daemon_open_store(daemon, error);
	if (code == 0)
		code = daemon_open_shards(daemon, error);
	if (code == 0)
		code = daemon_open_control(daemon, error);
	if (code == 0)
		code = daemon_open_doors(daemon, error);
	if (code == 0)
		code = daemon_save_credentials(daemon, error);
	if (code == 0)
		auth_on_first_key(daemon->auth, daemon_on_first_key, daemon);
	return code;
}

/* --- running and closing --- */

/* Now that all disks and units are open, or have failed to. */
static void daemon_check_descriptors(const struct daemon *daemon)
{
	int lowest = fcntl(daemon->thread.signal_fd, F_DUPFD_CLOEXEC, 0); /* the lowest that is free: so many are taken */
	struct rlimit files;
	rlim_t taken;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		taken = lowest < 0 ? files.rlim_cur : (rlim_t)lowest;
		if (taken + daemon->config.nbd_limits.clients + DESCRIPTORS_SPARE > files.rlim_cur)
			log_event(LOG_WARNING, "daemon.few_descriptors", "limit=%llu taken=%llu clients=%u advice=\"raise the "
				  "limit of open files, LimitNOFILE= of the service: disks or clients will be refused\"",
				  (unsigned long long)files.rlim_cur, (unsigned long long)taken,
				  daemon->config.nbd_limits.clients);
	}
	if (lowest >= 0)
		close(lowest);
}

static void daemon_on_ready(void *data)
{
	const struct daemon *daemon = data;
	const char *nbd = shards_nbd_address(daemon->shards), *path = shards_nbd_unix(daemon->shards);
	const char *link = shards_link_address(daemon->shards);

	daemon_check_descriptors(daemon);
	log_event(LOG_INFO, "daemon.ready",
		  "version=" OFFSITE_VERSION " region=%s zone=%s data=\"%s\" api=%s huawei=%s nbd=%s unix=\"%s\" link=%s",
		  daemon->config.region, daemon->config.zone, daemon->folder.path, daemon->endpoint,
		  doors_address(&daemon->doors, DIALECT_HUAWEI),
		  nbd[0] == '\0' ? "none" : nbd, path[0] == '\0' ? "none" : path,
		  link[0] == '\0' ? "none" : link);
	notify_send("READY=1");
}

/* Certificates are renewed while disks are in use. Bad files change nothing. */
static void daemon_on_reload(void *data)
{
	struct daemon *daemon = data;
	struct tls_credentials *fresh;
	struct error error = { 0 };

	if (tls_files_load(&daemon->config, &fresh, &error) < 0) {
		log_event(LOG_ERROR, "tls.not_reloaded", "reason=\"%s\"", error.text);
		return;
	}
	if (fresh != NULL)
		shards_set_tls(daemon->shards, daemon->config.nbd_tls, fresh);
	log_event(LOG_INFO, "tls.reloaded", "tls=%s", fresh == NULL ? "off" : "on");
}

/* In the reverse order of daemon_open; parts that were never opened are skipped. -ETIMEDOUT: a shard still runs. */
static int daemon_close(struct daemon *daemon)
{
	int code = 0;

	doors_stop(&daemon->doors);
	if (daemon->huawei != NULL)
		huawei_stop(daemon->huawei);
	if (daemon->control != NULL)
		control_free(daemon->control);
	if (daemon->shards != NULL)
		code = shards_stop(daemon->shards, STOP_LIMIT_MS);
	if (code < 0)
		return code;
	doors_free(&daemon->doors);
	if (daemon->aliyun != NULL)
		aliyun_free(daemon->aliyun);
	if (daemon->huawei != NULL)
		huawei_free(daemon->huawei);
	if (daemon->mailbox != NULL)
		mailbox_free(daemon->mailbox);
	if (daemon->auth != NULL)
		auth_free(daemon->auth);
	if (daemon->catalog != NULL)
		catalog_close(daemon->catalog);
	data_folder_fini(&daemon->folder);
	daemon_forget_configuration(daemon);
	if (daemon->thread.signal_fd >= 0)
		close(daemon->thread.signal_fd);
	return 0;
}

static int daemon_run(struct daemon *daemon)
{
	struct error error = { 0 };
	int status = EXIT_STOPPED;
	int number;

	daemon->thread.on_ready = daemon_on_ready;
	daemon->thread.on_reload = daemon_on_reload;
	daemon->thread.data = daemon;
	if (daemon_open(daemon, &error) < 0) {
		daemon_close(daemon);
		return say(&error, EXIT_FAILED);
	}
	number = control_thread_run(&daemon->thread, &error);
	notify_send("STOPPING=1");
	if (number < 0)
		status = say(&error, EXIT_FAILED);
	else
		log_event(LOG_INFO, "daemon.stopping", "signal=%s", sigabbrev_np(number));
	if (daemon_close(daemon) < 0) {
		log_event(LOG_WARNING, "daemon.stop_late", "limit_ms=%d advice=\"what was not finished is redone at the next start\"",
			  STOP_LIMIT_MS);
		_exit(EXIT_FAILED);
	}
	log_event(LOG_INFO, "daemon.stopped", "status=%d", status);
	return status;
}

int main(int count, char **arguments)
{
	struct daemon daemon = { .thread.signal_fd = -1, .folder.lock_fd = -1 };
	enum options_action action;
	struct options options;
	struct error error = { 0 };

	/* Frames of a MiB come and go all the time, and memory that is new to the process costs more than what is copied to it. */
	mallopt(M_MMAP_THRESHOLD, HEAP_PIECE_MAX);
	mallopt(M_TRIM_THRESHOLD, HEAP_KEPT_MAX);
	daemon_log_open(LOG_INFO);
	action = options_parse(&options, count, arguments);
	if (action == OPTIONS_EXIT)
		return fflush(stdout) == 0 ? EXIT_STOPPED : EXIT_FAILED;
	if (action == OPTIONS_WRONG)
		return EXIT_CONFIGURATION;
	if (daemon_configure(&daemon, &options, &error) < 0) {
		daemon_forget_configuration(&daemon);
		return say(&error, EXIT_CONFIGURATION);
	}
	if (action == OPTIONS_CHECK) {
		printf("%s is good\n", options.config[0] == '\0' ? "the configuration (all defaults)" : options.config);
		daemon_forget_configuration(&daemon);
		return fflush(stdout) == 0 ? EXIT_STOPPED : EXIT_FAILED;
	}
	daemon_log_open(daemon.config.log);
	if (daemon_open_signals(&daemon, &error) < 0) {
		daemon_forget_configuration(&daemon);
		return say(&error, EXIT_FAILED);
	}
	return daemon_run(&daemon);
}
