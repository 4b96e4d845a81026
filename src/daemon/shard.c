/* See shard.h. The thread builds everything itself, since all of it belongs to its thread, then tells shard_start how that
 * went, and runs the loop until it is stopped. */
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
	unsigned index;
	const struct shard_options *options; /* until the thread has started */
	sem_t done; /* the start, then each step of the end */
	enum shard_stop_step step;
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
	struct mail *mail;

	if (shard->index != 0)
		return; /* the controls of two sites speak through their first shards */
	mail = mail_new(MAIL_LINK);
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

	shard_core_tell_failed(&shard->core, disk, code);
}

/* A peer's connection that is for another shard of this site. */
struct visitor {
	struct shard_core *core; /* of that shard */
	int fd;
	size_t size;
	uint8_t bytes[]; /* what it has said so far */
};

static void shard_on_visit(void *data)
{
	struct visitor *visitor = data;

	engine_accept(visitor->core->engine, loop_socket_join(visitor->core->env, visitor->fd), visitor->bytes, visitor->size);
	free(visitor);
}

static void shard_on_visitor(void *data, unsigned to, struct env_socket *socket, const void *bytes, size_t size)
{
	struct shard *shard = data;
	struct visitor *visitor = memory_new(1, sizeof(*visitor) + size);

	visitor->core = shard->core.siblings[to];
	visitor->fd = loop_socket_leave(socket);
	visitor->size = size;
	memcpy(visitor->bytes, bytes, size);
	loop_post(visitor->core->env, shard_on_visit, visitor);
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
	const struct shard_options *options = shard->options;
	const struct config *config = options->config;
	int code;

	shard->core.engine = engine_new(shard->core.env, options->directory, config->zone, &config->limits, &shard_events,
					shard, error);
	if (shard->core.engine == NULL)
		return error->code < 0 ? error->code : -EIO;
	engine_set_shard(shard->core.engine, options->index, options->count);
	if (options->index == 0 && config->link_listen[0] != '\0') {
		code = engine_listen(shard->core.engine, config->link_listen, error);
		if (code < 0)
			return error_wrap(error, "[link] listen");
		snprintf(shard->link_address, sizeof(shard->link_address), "%s", engine_address(shard->core.engine));
	}
	for (size_t i = 0; i < config->peer_count; i++) {
		const struct config_peer *peer = &config->peers[i];

		code = engine_add_peer(shard->core.engine, peer->zone, peer->address, peer->secret, &options->lines[i], error);
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
	const struct shard_options *options = shard->options;
	struct nbd_server_limits limits = options->config->nbd_limits;
	int code = loop_new(options->run_directory, &shard->core.env, error);

	if (code < 0)
		return code;
	loop_set_spin(shard->core.env, options->config->spin_us * UINT64_C(1000));
	code = shard_open_engine(shard, error);
	if (code < 0)
		return code;
	limits.memory /= options->count;
	if (limits.memory < NBD_REQUEST_BYTES_MAX)
		limits.memory = NBD_REQUEST_BYTES_MAX;
	shard->core.nbd = nbd_server_new(shard->core.env, &limits, options->exports, options->index);
	nbd_server_set_tls(shard->core.nbd, options->config->nbd_tls, options->tls);
	return options->index == 0 ? shard_listen_nbd(shard, error) : 0;
}

/* --- the end, in steps --- */

static void shard_step(void *data);

static void shard_on_stepped(void *data)
{
	struct shard *shard = data;

	if (shard->start_code == 0) {
		sem_post(&shard->done);
		return;
	}
	shard->step++; /* nobody waits for a shard that could not start */
	shard_step(shard);
}

/* Leaves out what a start that failed half-way has not made. */
static void shard_step(void *data)
{
	struct shard *shard = data;

	if (shard->step == SHARD_STOP_LOOP)
		loop_stop(shard->core.env);
	else if (shard->step == SHARD_STOP_CLIENTS && shard->core.nbd != NULL)
		nbd_server_stop(shard->core.nbd, shard_on_stepped, shard);
	else if (shard->step == SHARD_STOP_ENGINE && shard->core.engine != NULL)
		engine_shutdown(shard->core.engine, shard_on_stepped, shard);
	else
		shard_on_stepped(shard);
}

void shard_stop_begin(struct shard *shard, enum shard_stop_step step)
{
	shard->step = step; /* the thread looks at it when it is posted to, not before */
	loop_post(shard->core.env, shard_step, shard);
}

int shard_stop_wait(struct shard *shard, const struct timespec *until)
{
	int code;

	if (shard->step == SHARD_STOP_LOOP)
		return pthread_clockjoin_np(shard->thread, NULL, CLOCK_MONOTONIC, until) == 0 ? 0 : -ETIMEDOUT;
	do
		code = sem_clockwait(&shard->done, CLOCK_MONOTONIC, until);
	while (code < 0 && errno == EINTR);
	return code < 0 ? -ETIMEDOUT : 0;
}

/* After the loop has ended. */
static void shard_close(struct shard *shard)
{
	if (shard->core.nbd != NULL)
		nbd_server_free(shard->core.nbd);
	if (shard->core.engine != NULL)
		engine_free(shard->core.engine);
	shard_core_fini(&shard->core);
	if (shard->core.env != NULL)
		loop_free(shard->core.env);
}

static void *shard_run(void *data)
{
	struct shard *shard = data;

	shard->start_code = shard_open(shard, &shard->start_error);
	if (shard->start_code == 0)
		sem_post(&shard->done);
	else if (shard->core.env != NULL)
		loop_post(shard->core.env, shard_step, shard);
	if (shard->core.env != NULL)
		loop_run(shard->core.env);
	shard_close(shard);
	if (shard->start_code < 0)
		sem_post(&shard->done);
	return NULL;
}

int shard_start(const struct shard_options *options, struct shard **out_shard, struct error *error)
{
	struct shard *shard = memory_new(1, sizeof(*shard));
	char name[16];
	int code;

	shard->options = options;
	shard->core.mailbox = options->mailbox;
	list_init(&shard->core.disks);
	list_init(&shard->core.views);
	list_init(&shard->core.growing);
	shard->index = options->index;
	shard->core.siblings = options->cores;
	options->cores[options->index] = &shard->core;
	snprintf(shard->core.directory, sizeof(shard->core.directory), "%s", options->directory);
	sem_init(&shard->done, 0, 0);
	code = -pthread_create(&shard->thread, NULL, shard_run, shard);
	if (code < 0) {
		error_set_errno(error, code, "cannot start a thread");
	} else {
		while (sem_wait(&shard->done) < 0 && errno == EINTR)
			;
		code = shard->start_code;
		if (code < 0) {
			*error = shard->start_error;
			pthread_join(shard->thread, NULL);
		}
	}
	shard->options = NULL;
	if (code < 0) {
		options->cores[options->index] = NULL;
		sem_destroy(&shard->done);
		free(shard);
		return code;
	}
	snprintf(name, sizeof(name), "shard-%u", options->index);
	pthread_setname_np(shard->thread, name);
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

void shard_free(struct shard *shard)
{
	sem_destroy(&shard->done);
	free(shard);
}
