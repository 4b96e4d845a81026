/* The configuration of one offsited: defaults, then a file in INI form, read strictly.
 *
 * Unknown sections and keys, doubled keys, bad values and missing ones are errors that name the file and the line. Plain
 * data; one thread. */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "control/control.h"
#include "daemon/nbd_server.h"
#include "repl/engine.h"

#define CONFIG_PATH_SIZE 512
#define CONFIG_ADDRESS_SIZE 256
#define CONFIG_SECRET_SIZE 256
#define CONFIG_SECRET_MIN 16         /* characters: what is shorter can be guessed */
#define CONFIG_PEERS_MAX CONTROL_PEERS_MAX
#define CONFIG_FILE_MAX (256u * 1024u) /* bytes */
#define CONFIG_LINE_MAX 198          /* characters: the reader's (inih) own limit */

struct config_peer {
	char zone[ENGINE_ID_SIZE];
	char region[ENGINE_ID_SIZE];
	char address[CONFIG_ADDRESS_SIZE]; /* "tcp:HOST:PORT"; "": the peer dials */
	char secret[CONFIG_SECRET_SIZE];
	char secret_file[CONFIG_PATH_SIZE];
	uint32_t line;                     /* of its section */
};

struct config {
	char region[ENGINE_ID_SIZE];
	char zone[ENGINE_ID_SIZE];
	char directory[CONFIG_PATH_SIZE];     /* the data folder */
	char run_directory[CONFIG_PATH_SIZE]; /* on tmpfs; "": chosen by data_folder.c */
	enum log_level log;
	uint32_t shards; /* threads that serve disks; 0: one for each four processors, by config_check */
	char api_listen[CONFIG_ADDRESS_SIZE]; /* "HOST:PORT" of the dialects without their own, "" when each has; by config_check */
	char api_aliyun[CONFIG_ADDRESS_SIZE]; /* "HOST:PORT", or "": at api_listen */
	char api_huawei[CONFIG_ADDRESS_SIZE]; /* the same */
	char api_url[CONFIG_ADDRESS_SIZE];    /* "http://HOST:PORT", where clients reach Huawei's; "": as each request says */
	char nbd_listen[CONFIG_ADDRESS_SIZE]; /* "tcp:HOST:PORT", or "" for none */
	char nbd_unix[CONFIG_PATH_SIZE];      /* path of a socket, or "" for none */
	struct nbd_server_limits nbd_limits;
	uint32_t spin_us; /* env/uring/loop.h */
	enum nbd_tls nbd_tls;
	char tls_certificate[CONFIG_PATH_SIZE]; /* these four: "" for none */
	char tls_key[CONFIG_PATH_SIZE];
	char tls_ca[CONFIG_PATH_SIZE];
	char tls_psk[CONFIG_PATH_SIZE];
	char link_listen[CONFIG_ADDRESS_SIZE];/* "tcp:HOST:PORT", or "" for none */
	struct engine_limits limits;
	uint32_t pairs_per_group;
	struct config_peer *peers;
	size_t peer_count;
};

/* A site on loopback. `directory` ("" allowed) is the data folder if the file names none. */
void config_init(struct config *config, const char *directory);
void config_fini(struct config *config); /* wipes the secrets */

/* Reads `text` over what is in `config`; `file` is for messages and for paths relative to its folder. */
int config_parse(struct config *config, const char *file, const char *text, size_t size, struct error *error);
/* Reads the file; -ENOENT when there is none. Reads the secret files it names, too. */
int config_read(struct config *config, const char *file, struct error *error);
/* What no single line can tell: missing values, values that exclude each other. `file` for the message, may be NULL. Fills
 * in the values that depend on others. Call once, after the reading. */
int config_check(struct config *config, const char *file, struct error *error);

/* "64M" -> bytes; suffixes K M G T, powers of 1024. -EINVAL when it is not a number or does not fit. */
int config_parse_size(const char *text, uint64_t *out_bytes);

#endif
