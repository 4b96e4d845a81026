/* See shard.h. The thread builds everything itself, since all of it belongs to its thread, then tells shard_start how that
 * went, runs the loop until shard_stop, and takes everything down in the reverse order. */
#include "daemon/shard.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "control/port.h"
#include "daemon/activation.h"
#include "daemon/config.h"
#include "daemon/exports.h"
#include "daemon/mailbox.h"
#include "daemon/nbd_server.h"
#include "daemon/shard_core.h"
#include "env/env.h"
#include "env/uring/loop.h"
#include "repl/engine.h"
#include "repl/pace_line.h"
#include "tls/credentials.h"

struct shard {
	pthread_t thread;
	struct shard_core core;             /* of the thread, once it runs */
	struct pace_line *lines;            /* one a peer */
	const struct shard_options *options; /* until the thread has started */
	sem_t started;
	int start_code;
	struct error start_error;
	char nbd_address[CONFIG_ADDRESS_SIZE];
	char nbd_unix[CONFIG_ADDRESS_SIZE];
	char link_address[CONFIG_ADDRESS_SIZE];
};

/* --- engine events, on the shard's thread --- */

static void shard_on_unit(void *data, const struct unit_status *status)
{
	struct shard *shard = data;
	struct mail *mail = mail_new(MAIL_UNIT);

	mail->u.unit = *status;
	mailbox_put(shard->core.mailbox, mail);
	if (status->divergence_kept || !list_is_empty(&shard->core.views))
		shard_core_export_diverged(&shard->core);
}

static void shard_on_link(void *data, const char *peer, bool up, const char *reason)
{
	struct shard *shard = data;
	struct mail *mail = mail_new(MAIL_LINK);

	snprintf(mail->u.link.peer, sizeof(mail->u.link.peer), "%s", peer);
	snprintf(mail->u.link.reason, sizeof(mail->u.link.reason), "%s", reason == NULL ? "" : reason);
	mail->u.link.up = up;
	mailbox_put(shard->core.mailbox, mail);
}

static void shard_on_message(void *data, const char *peer, bool is_answer, uint64_t id, const void *bytes, size_t size)
{
	struct shard *shard = data;
	struct mail *mail = mail_new(MAIL_MESSAGE);

	snprintf(mail->u.message.peer, sizeof(mail->u.message.peer), "%s", peer);
	mail->u.message.is_answer = is_answer;
	mail->u.message.id = id;
	mail->u.message.size = size;
	mail->u.message.bytes = memory_new(size + 1, 1);
	memcpy(mail->u.message.bytes, bytes, size);
	if (mailbox_put(shard->core.mailbox, mail) < 0)
		log_event(LOG_WARNING, "link.message_dropped", "peer=%s reason=\"too many wait\"", peer);
}

static void shard_on_disk_failed(void *data, const char *disk, int code)
{
	struct shard *shard = data;
	struct mail *mail = mail_new(MAIL_DISK_FAILED);

	log_event(LOG_ERROR, "disk.failed", "disk=%s reason=\"%s\"", disk, strerrordesc_np(code < 0 ? -code : code));
	snprintf(mail->u.failed.disk, sizeof(mail->u.failed.disk), "%s", disk);
	mail->u.failed.code = code;
	mailbox_put(shard->core.mailbox, mail);
}

/* There is one shard: nobody is to be visited but it. */
static void shard_on_visitor(void *data, unsigned shard, struct env_socket *socket, const void *bytes, size_t size)
{
	(void)data;
	(void)shard;
	(void)bytes;
	(void)size;
	env_socket_close(socket);
}

static const struct engine_events shard_events = {
	.on_unit = shard_on_unit,
	.on_link = shard_on_link,
	.on_message = shard_on_message,
	.on_disk_failed = shard_on_disk_failed,
	.on_visitor = shard_on_visitor,
};

/* --- the thread --- */

static int shard_open_engine(struct shard *shard, struct error *error)
{
	const struct config *config = shard->options->config;
	int code;

	shard->core.engine = engine_new(shard->core.env, shard->options->directory, config->zone, &config->limits, &shard_events,
					shard, error);
	if (shard->core.engine == NULL)
		return error->code < 0 ? error->code : -EIO;
	if (config->link_listen[0] != '\0') {
		code = engine_listen(shard->core.engine, config->link_listen, error);
		if (code < 0)
			return error_wrap(error, "[link] listen");
		snprintf(shard->link_address, sizeof(shard->link_address), "%s", engine_address(shard->core.engine));
	}
	shard->lines = memory_new(config->peer_count + 1, sizeof(*shard->lines));
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		code = engine_add_peer(shard->core.engine, peer->zone, peer->address, peer->secret, &shard->lines[i], error);
		if (code < 0)
			return error_wrap(error, "[peer %s]", peer->zone);
	}
	return 0;
}

/* One more address; the first of each kind is the one that users are told. */
static int shard_listen_nbd_at(struct shard *shard, unsigned rank, const char *address, struct error *error)
{
	const char *bound;

	if (nbd_server_listen(shard->core.nbd, address, error) < 0)
		return error->code;
	bound = nbd_server_address(shard->core.nbd, rank);
	if (strncmp(bound, "unix:", strlen("unix:")) != 0 && shard->nbd_address[0] == '\0')
		snprintf(shard->nbd_address, sizeof(shard->nbd_address), "%s", bound);
	else if (strncmp(bound, "unix:", strlen("unix:")) == 0 && shard->nbd_unix[0] == '\0')
		snprintf(shard->nbd_unix, sizeof(shard->nbd_unix), "%s", bound + strlen("unix:"));
	return 0;
}

static int shard_listen_nbd(struct shard *shard, struct error *error)
{
	const struct config *config = shard->options->config;
	char address[CONFIG_PATH_SIZE + 8];
	unsigned rank = 0;

	for (; rank < shard->options->given_sockets; rank++) {
		snprintf(address, sizeof(address), "fd:%u", ACTIVATION_FIRST + rank);
		if (shard_listen_nbd_at(shard, rank, address, error) < 0)
			return error_wrap(error, "the sockets given by systemd");
	}
	if (rank > 0)
		return 0;
	if (config->nbd_listen[0] != '\0' && shard_listen_nbd_at(shard, rank++, config->nbd_listen, error) < 0)
		return error_wrap(error, "[nbd] listen");
	if (config->nbd_unix[0] == '\0')
		return 0;
	snprintf(address, sizeof(address), "unix:%s", config->nbd_unix);
	if (shard_listen_nbd_at(shard, rank, address, error) < 0)
		return error_wrap(error, "[nbd] unix");
	return 0;
}

static int shard_open(struct shard *shard, struct error *error)
{
	int code = loop_new(shard->options->run_directory, &shard->core.env, error);

	if (code < 0)
		return code;
	loop_set_spin(shard->core.env, shard->options->config->spin_us * UINT64_C(1000));
	code = shard_open_engine(shard, error);
	if (code < 0)
		return code;
	shard->core.exports = exports_new(1, shard->options->config->nbd_limits.clients);
	shard->core.nbd = nbd_server_new(shard->core.env, &shard->options->config->nbd_limits, shard->core.exports, 0);
	nbd_server_set_tls(shard->core.nbd, shard->options->config->nbd_tls, shard->options->tls);
	return shard_listen_nbd(shard, error);
}

static void shard_on_engine_down(void *data)
{
	struct shard *shard = data;

	loop_stop(shard->core.env);
}

static void shard_on_clients_gone(void *data)
{
	struct shard *shard = data;

	if (shard->core.engine != NULL)
		engine_shutdown(shard->core.engine, shard_on_engine_down, shard);
	else
		shard_on_engine_down(shard);
}

/* Ends what there is, in order; a start that failed half-way comes here, too. */
static void shard_on_stop(void *data)
{
	struct shard *shard = data;

	if (shard->core.nbd != NULL)
		nbd_server_stop(shard->core.nbd, shard_on_clients_gone, shard);
	else
		shard_on_clients_gone(shard);
}

/* After the loop has ended. */
static void shard_close(struct shard *shard)
{
	if (shard->core.nbd != NULL)
		nbd_server_free(shard->core.nbd);
	if (shard->core.exports != NULL)
		exports_free(shard->core.exports);
	if (shard->core.engine != NULL)
		engine_free(shard->core.engine);
	free(shard->lines);
	shard_core_fini(&shard->core);
	if (shard->core.env != NULL)
		loop_free(shard->core.env);
}

static void *shard_run(void *data)
{
	struct shard *shard = data;

	shard->start_code = shard_open(shard, &shard->start_error);
	if (shard->start_code == 0)
		sem_post(&shard->started);
	else if (shard->core.env != NULL)
		loop_post(shard->core.env, shard_on_stop, shard);
	if (shard->core.env != NULL)
		loop_run(shard->core.env);
	shard_close(shard);
	if (shard->start_code < 0)
		sem_post(&shard->started);
	return NULL;
}

int shard_start(const struct shard_options *options, struct shard **out_shard, struct error *error)
{
	struct shard *shard = memory_new(1, sizeof(*shard));
	int code;

	shard->options = options;
	shard->core.mailbox = options->mailbox;
	list_init(&shard->core.disks);
	list_init(&shard->core.views);
	list_init(&shard->core.growing);
	snprintf(shard->core.directory, sizeof(shard->core.directory), "%s", options->directory);
	sem_init(&shard->started, 0, 0);
	code = -pthread_create(&shard->thread, NULL, shard_run, shard);
	if (code < 0) {
		error_set_errno(error, code, "cannot start a thread");
	} else {
		while (sem_wait(&shard->started) < 0 && errno == EINTR)
			;
		code = shard->start_code;
		if (code < 0) {
			*error = shard->start_error;
			pthread_join(shard->thread, NULL);
		}
	}
	shard->options = NULL;
	if (code < 0) {
		sem_destroy(&shard->started);
		free(shard);
		return code;
	}
	pthread_setname_np(shard->thread, "shard-0");
	*out_shard = shard;
	return 0;
}

const char *shard_nbd_address(const struct shard *shard)
{
	return shard->nbd_address;
}

const char *shard_nbd_unix(const struct shard *shard)
{
	return shard->nbd_unix;
}

const char *shard_link_address(const struct shard *shard)
{
	return shard->link_address;
}

static void shard_on_posted(void *data)
{
	shard_core_run(data);
}

void shard_send(struct shard *shard, const struct shard_command *command)
{
	loop_post(shard->core.env, shard_on_posted, shard_work_new(&shard->core, command));
}

/* On its way to the shard's thread. */
struct tls_change {
	struct shard *shard;
	enum nbd_tls mode;
	struct tls_credentials *credentials;
};

static void shard_on_tls(void *data)
{
	struct tls_change *change = data;

	nbd_server_set_tls(change->shard->core.nbd, change->mode, change->credentials);
	tls_credentials_unref(change->credentials); /* the server has its own reference */
	free(change);
}

void shard_set_tls(struct shard *shard, enum nbd_tls mode, struct tls_credentials *credentials)
{
	struct tls_change *change = memory_new(1, sizeof(*change));

	*change = (struct tls_change){ shard, mode, credentials };
	loop_post(shard->core.env, shard_on_tls, change);
}

/* --- the end --- */

int shard_stop(struct shard *shard, uint32_t limit_ms)
{
	struct timespec until;

	loop_post(shard->core.env, shard_on_stop, shard);
	clock_gettime(CLOCK_MONOTONIC, &until); /* a step of the wall clock must not end the wait */
	until.tv_sec += limit_ms / 1000;
	until.tv_nsec += (long)(limit_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	if (pthread_clockjoin_np(shard->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
		return -ETIMEDOUT;
	sem_destroy(&shard->started);
	free(shard);
	return 0;
}
