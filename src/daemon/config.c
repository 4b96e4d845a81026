/* Reads the configuration with inih, strictly.
 *
 * Debian's inih does not tell its handler the line, and lets long lines and empty unknown sections pass. So the lines are
 * handed to it one by one by line_next() below, which counts them, refuses what inih would cut silently, and notes the
 * section; the handler sees one key at a time and finds it in the table `keys`. The first error ends the reading. */
#include "daemon/config.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "daemon/config_value.h"
#include "daemon/small_file.h"

#define PROCESSORS_A_SHARD 4u
#define SHARDS_DEFAULT_MAX 8u
#define API_LISTEN "127.0.0.1:8650"
#define SECTION_MAX 49 /* characters that inih keeps of a section's or key's name */
#define PEER_PREFIX "peer "
#define PEER_ZONE_AT (sizeof(PEER_PREFIX) - 1)

struct config_key {
	const char *section;
	const char *name;
	int (*parse)(const struct config_value *value, struct error *error);
	size_t offset; /* in struct config, or in struct config_peer for section "peer" */
	size_t size;
	uint64_t min, max;
};

#define KEY(type, section, name, parse, field, min, max) \
	{ section, name, parse, offsetof(struct type, field), sizeof(((struct type *)NULL)->field), min, max }
#define SITE(...) KEY(config, __VA_ARGS__)
#define PEER(...) KEY(config_peer, "peer", __VA_ARGS__)
#define MIB (1024ull * 1024)
#define TIB (MIB * MIB)

static const struct config_key keys[] = {
	SITE("site", "region", config_value_id, region, 0, 0),
	SITE("site", "zone", config_value_id, zone, 0, 0),
	SITE("site", "data", config_value_path, directory, 0, 0),
	SITE("site", "run", config_value_path, run_directory, 0, 0),
	SITE("site", "log", config_value_level, log, 0, 0),
	SITE("site", "shards", config_value_number, shards, 1, ENGINE_SHARDS_MAX),
	SITE("api", "listen", config_value_host, api_listen, 0, 0),
	SITE("api", "aliyun", config_value_host, api_aliyun, 0, 0),
	SITE("api", "huawei", config_value_host, api_huawei, 0, 0),
	SITE("api", "url", config_value_url, api_url, 0, 0),
	SITE("nbd", "listen", config_value_tcp_or_none, nbd_listen, 0, 0),
	SITE("nbd", "unix", config_value_socket, nbd_unix, 0, 0),
	SITE("nbd", "clients", config_value_number, nbd_limits.clients, 1, 100000),
	SITE("nbd", "memory", config_value_size, nbd_limits.memory, 64 * MIB, TIB),
	SITE("nbd", "spin_us", config_value_number, spin_us, 0, 1000),
	SITE("nbd", "wait_s", config_value_number, nbd_limits.wait_s, 1, 30),
	SITE("nbd", "tls", config_value_tls, nbd_tls, 0, 0),
	SITE("nbd", "tls_certificate", config_value_path, tls_certificate, 0, 0),
	SITE("nbd", "tls_key", config_value_path, tls_key, 0, 0),
	SITE("nbd", "tls_ca", config_value_path, tls_ca, 0, 0),
	SITE("nbd", "tls_psk", config_value_path, tls_psk, 0, 0),
	SITE("link", "listen", config_value_tcp_or_none, link_listen, 0, 0),
	SITE("limits", "kept_bytes", config_value_size, limits.kept_bytes_max, MIB, TIB),
	SITE("limits", "window_bytes", config_value_size, limits.window_bytes_max, MIB, TIB),
	SITE("limits", "staging_bytes", config_value_size, limits.staging_bytes_max, MIB, 1024 * TIB),
	SITE("limits", "divergence_bytes", config_value_size, limits.divergence_bytes_max, 0, 8 * TIB),
	SITE("limits", "cycle_ms", config_value_number, limits.cycle_ms_min, 10, 3600000),
	SITE("limits", "pairs_per_group", config_value_number, pairs_per_group, 1, ENGINE_UNIT_DISKS_MAX),
	PEER("region", config_value_id, region, 0, 0),
	PEER("address", config_value_tcp, address, 0, 0),
	PEER("secret", config_value_secret, secret, 0, 0),
	PEER("secret_file", config_value_path, secret_file, 0, 0),
};
#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

struct config_reading {
	struct config *config;
	const char *file;
	const char *rest; /* what is not read yet */
	const char *end;
	uint32_t line;
	struct config_peer *peer;     /* of the present section, or NULL */
	uint32_t seen[KEY_COUNT];     /* line a key was given on; of peers: in the present section */
	struct error *error;
	int code;                     /* the first error; nothing is read after it */
};

void config_init(struct config *config, const char *directory)
{
	*config = (struct config){
		.region = "local",
		.zone = "local-a",
		.log = LOG_INFO,
		.nbd_listen = "tcp:127.0.0.1:10809",
		.nbd_unix = "\n", /* not given: config_check puts it into the data folder */
		.spin_us = 50,
		.nbd_limits = { .clients = 4096, .memory = 1024 * MIB, .wait_s = 30 },
		.link_listen = "tcp:127.0.0.1:8651",
		.limits = engine_limits_default,
		.pairs_per_group = ENGINE_UNIT_DISKS_MAX,
	};
	snprintf(config->directory, sizeof(config->directory), "%s", directory);
	config->peers = memory_new(CONFIG_PEERS_MAX, sizeof(*config->peers));
}

void config_fini(struct config *config)
{
	memory_wipe(config->peers, CONFIG_PEERS_MAX * sizeof(*config->peers));
	free(config->peers);
	config->peers = NULL;
	config->peer_count = 0;
}

static int reading_fail(struct config_reading *reading, const char *text)
{
	if (reading->code == 0)
		reading->code = error_set(reading->error, -EINVAL, "%s:%u: %s", reading->file, reading->line, text);
	return reading->code;
}

/* --- sections --- */

static int section_begin_peer(struct config_reading *reading, const char *zone)
{
	struct config *config = reading->config;
	struct config_peer *peer = &config->peers[config->peer_count];
	struct error why;

	for (size_t i = 0; i < config->peer_count; i++)
		if (strcmp(config->peers[i].zone, zone) == 0)
			return reading_fail(reading, "this peer has a section already");
	if (config->peer_count == CONFIG_PEERS_MAX)
		return reading_fail(reading, "too many peers");
	if (config_value_id(&(struct config_value){ .text = zone, .target = peer->zone, .size = sizeof(peer->zone) }, &why) < 0) {
		error_wrap(&why, "the peer's zone");
		return reading_fail(reading, why.text);
	}
	peer->line = reading->line;
	config->peer_count++;
	reading->peer = peer;
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].section, "peer") == 0)
			reading->seen[i] = 0;
	return 0;
}

static int section_begin(struct config_reading *reading, const char *name)
{
	char text[SECTION_MAX + 80];

	reading->peer = NULL;
	if (strncmp(name, PEER_PREFIX, PEER_ZONE_AT) == 0)
		return section_begin_peer(reading, name + PEER_ZONE_AT);
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].section, name) == 0 && strcmp(name, "peer") != 0)
			return 0;
	snprintf(text, sizeof(text), "unknown section [%s]: there are [site] [api] [nbd] [link] [limits] [peer ZONE]", name);
	return reading_fail(reading, text);
}

/* --- lines --- */

/* Looks at a line before inih gets it: sections are noted here, where their line is known. */
static int line_check(struct config_reading *reading, const char *line, size_t length)
{
	char name[SECTION_MAX + 1];
	const char *close;

	if (length > CONFIG_LINE_MAX)
		return reading_fail(reading, "the line is longer than 198 characters");
	if (memchr(line, '\0', length) != NULL)
		return reading_fail(reading, "the line holds a zero byte: this is not a text file");
	if (length > 0 && (line[0] == ' ' || line[0] == '\t') && strspn(line, " \t\r") < length)
		return reading_fail(reading, "the line starts with a blank: keys and sections start at the margin");
	if (length == 0 || line[0] != '[')
		return 0;
	close = memchr(line, ']', length);
	if (close == NULL)
		return reading_fail(reading, "the section has no \"]\"");
	if (close - line - 1 > SECTION_MAX)
		return reading_fail(reading, "the section's name is longer than 49 characters");
	memcpy(name, line + 1, (size_t)(close - line) - 1);
	name[close - line - 1] = '\0';
	return section_begin(reading, name);
}

/* inih's reader: the next line with its newline, NULL at the end or after an error. */
static char *line_next(char *out, int room, void *stream)
{
	struct config_reading *reading = stream;
	size_t left = (size_t)(reading->end - reading->rest);
	const char *newline;
	size_t length;

	if (left == 0 || reading->code < 0)
		return NULL;
	newline = memchr(reading->rest, '\n', left);
	length = newline == NULL ? left : (size_t)(newline - reading->rest);
	reading->line++;

	char line[CONFIG_LINE_MAX + 2] = "";

	memcpy(line, reading->rest, length < sizeof(line) ? length : sizeof(line) - 1);
	if (line_check(reading, line, length) < 0)
		return NULL;
	assert((int)length < room);
	memcpy(out, line, length + 1);
	reading->rest += length + (newline != NULL);
	return out;
}

/* --- keys --- */

static const struct config_key *key_find(const char *section, const char *name)
{
	if (strncmp(section, PEER_PREFIX, PEER_ZONE_AT) == 0)
		section = "peer";
	for (size_t i = 0; i < KEY_COUNT; i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
			return &keys[i];
	return NULL;
}

/* inih's handler. Returns non-zero always: errors are kept in the reading, where they carry the line. */
static int key_found(void *user, const char *section, const char *name, const char *text)
{
	struct config_reading *reading = user;
	const struct config_key *key = key_find(section, name);
	char sentence[sizeof(((struct error *)NULL)->text)];
	struct error why = { 0 };

	if (reading->code < 0)
		return 1;
	if (key == NULL) {
		snprintf(sentence, sizeof(sentence), section[0] == '\0' ? "key \"%s\" before any section%s" :
			 "unknown key \"%s\" in section [%s]", name, section);
		reading_fail(reading, sentence);
		return 1;
	}
	if (reading->seen[key - keys] != 0) {
		snprintf(sentence, sizeof(sentence), "key \"%s\" was given on line %u already", name, reading->seen[key - keys]);
		reading_fail(reading, sentence);
		return 1;
	}
	reading->seen[key - keys] = reading->line;

	char *base = reading->peer != NULL ? (char *)reading->peer : (char *)reading->config;

	if (key->parse(&(struct config_value){ .text = text, .file = reading->file, .target = base + key->offset,
		       .size = key->size, .min = key->min, .max = key->max }, &why) < 0) {
		snprintf(sentence, sizeof(sentence), "%s: %.200s", name, why.text);
		reading_fail(reading, sentence);
	}
	return 1;
}

int config_parse(struct config *config, const char *file, const char *text, size_t size, struct error *error)
{
	struct config_reading reading = {
		.config = config, .file = file, .rest = text, .end = text + size, .error = error,
	};
	int bad_line = ini_parse_stream(line_next, &reading, key_found, &reading);

	if (reading.code == 0 && bad_line != 0) {
		reading.line = (uint32_t)(bad_line < 0 ? 0 : bad_line);
		reading_fail(&reading, "the line is neither a section, a comment, nor \"key = value\"");
	}
	return reading.code;
}

/* --- files --- */

static int peer_read_secret(const char *file, struct config_peer *peer, struct error *error)
{
	AUTO_FREE char *text = NULL;
	struct stat status = { 0 };
	size_t size = 0;
	struct error why;
	int code;

	code = small_file_read(peer->secret_file, CONFIG_SECRET_SIZE, &text, &size, &status, &why);
	if (code == 0 && text != NULL) {
		text[strcspn(text, "\r\n")] = '\0';
		code = config_value_secret(&(struct config_value){ .text = text, .target = peer->secret,
					   .size = sizeof(peer->secret) }, &why);
		if (code < 0)
			error_wrap(&why, "%.100s", peer->secret_file);
		memory_wipe(text, size);
	}
	if (code < 0)
		return error_set(error, code, "%s:%u: secret_file: %s", file, peer->line, why.text);
	if (status.st_mode & (S_IRGRP | S_IROTH))
		log_event(LOG_WARNING, "config.secret_exposed", "file=\"%s\" peer=%s advice=\"chmod 600\"", peer->secret_file,
			  peer->zone);
	return 0;
}

int config_read(struct config *config, const char *file, struct error *error)
{
	AUTO_FREE char *text = NULL;
	struct stat status = { 0 };
	size_t size = 0;
	int code = small_file_read(file, CONFIG_FILE_MAX, &text, &size, &status, error);

	if (code == 0)
		code = config_parse(config, file, text, size, error);
	if (text != NULL)
		memory_wipe(text, size);
	return code;
}

/* --- the whole --- */

static int config_check_peer(const struct config *config, const char *file, struct config_peer *peer, struct error *error)
{
	const char *problem = NULL;

	if (strcmp(peer->zone, config->zone) == 0)
		problem = "has the zone of this site: every site needs its own";
	else if (peer->region[0] == '\0')
		problem = "needs \"region = ...\"";
	else if (peer->secret[0] == '\0' && peer->secret_file[0] == '\0')
		problem = "needs \"secret = ...\" or \"secret_file = ...\", the same at both sites";
	else if (peer->secret[0] != '\0' && peer->secret_file[0] != '\0')
		problem = "has both secret and secret_file: give one";
	else if (peer->address[0] == '\0' && strcmp(config->zone, peer->zone) < 0)
		problem = "needs \"address = tcp:HOST:PORT\": the site whose zone sorts first dials the other, and that is this one";
	else if (config->link_listen[0] == '\0' && strcmp(config->zone, peer->zone) > 0)
		problem = "dials this site, as its zone sorts first: [link] listen may not be \"none\"";
	if (problem != NULL)
		return error_set(error, -EINVAL, "%s:%u: peer %s %s", file, peer->line, peer->zone, problem);
	return peer->secret_file[0] == '\0' ? 0 : peer_read_secret(file, peer, error);
}

static int config_check_api(struct config *config, const char *file, struct error *error)
{
	bool apart = config->api_aliyun[0] != '\0' && config->api_huawei[0] != '\0';

	if (apart && config->api_listen[0] != '\0')
		return error_set(error, -EINVAL, "%s: [api] aliyun and huawei each have a port of their own, so nothing is left "
				 "for listen: take it out", file);
	if (!apart && config->api_listen[0] == '\0')
		snprintf(config->api_listen, sizeof(config->api_listen), "%s", API_LISTEN);
	return 0;
}

static int config_check_tls(const struct config *config, const char *file, struct error *error)
{
	const char *problem = NULL;

	if (config->nbd_tls == NBD_TLS_OFF)
		return 0;
	if ((config->tls_certificate[0] == '\0') != (config->tls_key[0] == '\0'))
		problem = "tls_certificate and tls_key go together: give both";
	else if (config->tls_certificate[0] == '\0' && config->tls_psk[0] == '\0')
		problem = "tls needs tls_certificate and tls_key, or tls_psk, or all three";
	else if (config->tls_ca[0] != '\0' && config->tls_certificate[0] == '\0')
		problem = "tls_ca is for clients' certificates, which need tls_certificate and tls_key";
	return problem == NULL ? 0 : error_set(error, -EINVAL, "%s: [nbd] %s", file, problem);
}

/* Clients, their virtual machines and the kernel have work to do, too. */
static uint32_t shards_default(void)
{
	cpu_set_t set;
	uint32_t processors = sched_getaffinity(0, sizeof(set), &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
	uint32_t shards = processors / PROCESSORS_A_SHARD;

	return shards < 1 ? 1 : shards > SHARDS_DEFAULT_MAX ? SHARDS_DEFAULT_MAX : shards;
}

int config_check(struct config *config, const char *file, struct error *error)
{
	const char *name = file == NULL ? "offsite.conf" : file;

	if (config_check_api(config, name, error) < 0 || config_check_tls(config, name, error) < 0)
		return error->code;
	for (size_t i = 0; i < config->peer_count; i++) {
		int code = config_check_peer(config, name, &config->peers[i], error);

		if (code < 0)
			return code;
	}
	if (config->shards == 0)
		config->shards = shards_default();
	if (config->directory[0] == '\0')
		return error_set(error, -EINVAL, "%s: no data folder: give \"data = PATH\" in [site], or start with --dir PATH", name);
	if (strcmp(config->nbd_unix, "\n") == 0) {
		int length = snprintf(config->nbd_unix, sizeof(config->nbd_unix), "%.500s/nbd.sock", config->directory);

		if (length < 0 || (size_t)length >= sizeof(config->nbd_unix))
			return error_set(error, -EINVAL, "the data folder's path is too long");
	}
	return 0;
}
