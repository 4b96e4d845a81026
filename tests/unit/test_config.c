/* The configuration reader: what it takes, and that each refusal names the file, the line and the reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"

#define SECRET "0123456789abcdef"

/* Parses and checks; gives the error's text, "" when all is well. */
static const char *parse(struct config *config, const char *text)
{
	static struct error error;
	int code;

	error = (struct error){ 0 };
	config_init(config, "/data");
	code = config_parse(config, "/etc/offsite.conf", text, strlen(text), &error);
	if (code == 0)
		code = config_check(config, "/etc/offsite.conf", &error);
	assert_int_equal(code, error.code);
	return error.text;
}

static void assert_refused(const char *text, const char *expected)
{
	struct config config;

	assert_string_equal(parse(&config, text), expected);
	config_fini(&config);
}

static void test_defaults(void **state)
{
	struct config config;

	(void)state;
	assert_string_equal(parse(&config, ""), "");
	assert_string_equal(config.zone, "local-a");
	assert_string_equal(config.region, "local");
	assert_string_equal(config.api_listen, "127.0.0.1:8650");
	assert_string_equal(config.nbd_listen, "tcp:127.0.0.1:10809");
	assert_string_equal(config.nbd_unix, "/data/nbd.sock");
	assert_string_equal(config.link_listen, "tcp:127.0.0.1:8651");
	assert_int_equal(config.peer_count, 0);
	assert_int_equal(config.limits.cycle_ms_min, engine_limits_default.cycle_ms_min);
	config_fini(&config);
}

static void test_everything(void **state)
{
	struct config config;

	(void)state;
	assert_string_equal(parse(&config,
		"# a comment\n"
		"[site]\nregion = cn-north\nzone = cn-north-a\ndata = ../site\nrun=/run/x\nlog=debug\nshards=3\n\n"
		"[api]\nlisten=0.0.0.0:9000 ; why not\n[nbd]\nlisten=none\nunix=none\nclients=7\nmemory=64M\nwait_s=5\nspin_us=0\n"
		"[link]\nlisten=tcp:[::1]:7\r\n"
		"[limits]\nkept_bytes=64M\nwindow_bytes=2g\nstaging_bytes=1T\ncycle_ms=250\npairs_per_group=8\n"
		"[peer cn-south-a]\nregion=cn-south\naddress=tcp:10.0.0.2:8651\nsecret=" SECRET "\n"
		"[peer cn-west-a]\nregion=cn-west\naddress=tcp:[fd00::2]:8651\nsecret=fedcba9876543210\n"), "");
	assert_string_equal(config.directory, "/etc/../site");
	assert_string_equal(config.run_directory, "/run/x");
	assert_int_equal(config.log, LOG_DEBUG);
	assert_int_equal(config.shards, 3);
	assert_string_equal(config.api_listen, "0.0.0.0:9000");
	assert_string_equal(config.nbd_listen, "");
	assert_string_equal(config.nbd_unix, "");
	assert_int_equal(config.nbd_limits.clients, 7);
	assert_int_equal(config.nbd_limits.memory, 64u << 20);
	assert_int_equal(config.nbd_limits.wait_s, 5);
	assert_int_equal(config.spin_us, 0);
	assert_string_equal(config.link_listen, "tcp:[::1]:7");
	assert_int_equal(config.limits.kept_bytes_max, 64u << 20);
	assert_int_equal(config.limits.window_bytes_max, 2ull << 30);
	assert_int_equal(config.limits.staging_bytes_max, 1ull << 40);
	assert_int_equal(config.limits.cycle_ms_min, 250);
	assert_int_equal(config.pairs_per_group, 8);
	assert_int_equal(config.peer_count, 2);
	assert_string_equal(config.peers[0].zone, "cn-south-a");
	assert_string_equal(config.peers[0].secret, SECRET);
	assert_string_equal(config.peers[1].address, "tcp:[fd00::2]:8651");
	config_fini(&config);
}

static void test_refused_keys(void **state)
{
	(void)state;
	assert_refused("[site]\nregion=a\nregoin=b\n", "/etc/offsite.conf:3: unknown key \"regoin\" in section [site]");
	assert_refused("[site]\n\n[sight]\n",
		       "/etc/offsite.conf:3: unknown section [sight]: there are [site] [api] [nbd] [link] [limits] [peer ZONE]");
	assert_refused("[peer]\n",
		       "/etc/offsite.conf:1: unknown section [peer]: there are [site] [api] [nbd] [link] [limits] [peer ZONE]");
	assert_refused("zone=a\n", "/etc/offsite.conf:1: key \"zone\" before any section");
	assert_refused("[site]\nzone=a\nzone=b\n", "/etc/offsite.conf:3: key \"zone\" was given on line 2 already");
	assert_refused("[site]\nzone\n", "/etc/offsite.conf:2: the line is neither a section, a comment, nor \"key = value\"");
	assert_refused("[site\nzone=a\n", "/etc/offsite.conf:1: the section has no \"]\"");
	assert_refused("[site]\n zone=a\n",
		       "/etc/offsite.conf:2: the line starts with a blank: keys and sections start at the margin");
	assert_refused("[peer a]\nregion=r\naddress=tcp:h:1\nsecret=" SECRET "\n[peer a]\n",
		       "/etc/offsite.conf:5: this peer has a section already");
}

static void test_refused_values(void **state)
{
	(void)state;
	assert_refused("[site]\nzone=a b\n", "/etc/offsite.conf:2: zone: \"a b\" may hold letters, digits, '-', '_' and '.' only");
	assert_refused("[site]\nzone=\n", "/etc/offsite.conf:2: zone: the value is empty");
	assert_refused("[site]\nlog=loud\n", "/etc/offsite.conf:2: log: \"loud\" is not a level: error, warning, info or debug");
	assert_refused("[site]\nshards=0\n", "/etc/offsite.conf:2: shards: \"0\" is not a number between 1 and 16");
	assert_refused("[site]\nshards=17\n", "/etc/offsite.conf:2: shards: \"17\" is not a number between 1 and 16");
	assert_refused("[api]\nlisten=8650\n",
		       "/etc/offsite.conf:2: listen: \"8650\" is not HOST:PORT, for example 127.0.0.1:8650");
	assert_refused("[api]\nlisten=h:65536\n",
		       "/etc/offsite.conf:2: listen: \"h:65536\" is not HOST:PORT, for example 127.0.0.1:8650");
	assert_refused("[api]\nhuawei=h\n", "/etc/offsite.conf:2: huawei: \"h\" is not HOST:PORT, for example 127.0.0.1:8650");
	assert_refused("[link]\nlisten=h:1\n",
		       "/etc/offsite.conf:2: listen: \"h:1\" is not tcp:HOST:PORT, for example tcp:127.0.0.1:8651");
	assert_refused("[limits]\nkept_bytes=64MB\n",
		       "/etc/offsite.conf:2: kept_bytes: \"64MB\" is not a size, for example 64M or 2G");
	assert_refused("[limits]\npairs_per_group=0\n",
		       "/etc/offsite.conf:2: pairs_per_group: \"0\" is not a number between 1 and 128");
	assert_refused("[peer a]\nsecret=short\n", "/etc/offsite.conf:2: secret: the secret has 5 characters, it needs 16 or "
		       "more: make one with \"openssl rand -hex 32\"");
}

static void test_doors(void **state)
{
	static const char *const good[] = { "http://h", "http://h:1", "https://a.b-c:65535", "http://[fd00::1]:8650" };
	static const char *const bad[] = { "", "h:1", "://h", "http://", "http://h:", "http://h:x", "http://h:1/", "http://h:1/v3",
					   "ftp://h:1", "http://h h:1", "http://u@h:1", "http://h:1?x", "http://[fd00::1]" };
	struct config config;
	char text[300], expected[300];

	(void)state;
	assert_string_equal(parse(&config, "[api]\nhuawei=h:2\n"), "");
	assert_string_equal(config.api_listen, "127.0.0.1:8650");
	assert_string_equal(config.api_aliyun, "");
	assert_string_equal(config.api_huawei, "h:2");
	config_fini(&config);
	assert_string_equal(parse(&config, "[api]\nhuawei=h:2\nlisten=h:1\n"), "");
	assert_string_equal(config.api_listen, "h:1");
	config_fini(&config);
	assert_string_equal(parse(&config, "[api]\nhuawei=h:2\naliyun=h:1\n"), "");
	assert_string_equal(config.api_listen, "");
	assert_string_equal(config.api_aliyun, "h:1");
	config_fini(&config);
	assert_refused("[api]\nlisten=h:3\nhuawei=h:2\naliyun=h:1\n", "/etc/offsite.conf: [api] aliyun and huawei each have a "
		       "port of their own, so nothing is left for listen: take it out");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		snprintf(text, sizeof(text), "[api]\nurl=%s\n", good[i]);
		assert_string_equal(parse(&config, text), "");
		assert_string_equal(config.api_url, good[i]);
		config_fini(&config);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "[api]\nurl=%s\n", bad[i]);
		snprintf(expected, sizeof(expected),
			 "/etc/offsite.conf:2: url: \"%s\" is not http://HOST:PORT or https://HOST:PORT", bad[i]);
		assert_refused(text, expected);
	}
}

static void test_tls(void **state)
{
	struct config config;

	(void)state;
	assert_string_equal(parse(&config, ""), "");
	assert_int_equal(config.nbd_tls, NBD_TLS_OFF);
	config_fini(&config);
	assert_string_equal(parse(&config, "[nbd]\ntls=required\ntls_certificate=c.pem\ntls_key=/k.pem\ntls_ca=ca.pem\n"
				  "tls_psk=p\n"), "");
	assert_int_equal(config.nbd_tls, NBD_TLS_REQUIRED);
	assert_string_equal(config.tls_certificate, "/etc/c.pem");
	assert_string_equal(config.tls_key, "/k.pem");
	assert_string_equal(config.tls_ca, "/etc/ca.pem");
	assert_string_equal(config.tls_psk, "/etc/p");
	config_fini(&config);
	assert_string_equal(parse(&config, "[nbd]\ntls=off\ntls_ca=ca.pem\n"), ""); /* switched off for a while */
	config_fini(&config);
	assert_refused("[nbd]\ntls=yes\n", "/etc/offsite.conf:2: tls: \"yes\" is not off, allowed or required");
	assert_refused("[nbd]\ntls=allowed\n",
		       "/etc/offsite.conf: [nbd] tls needs tls_certificate and tls_key, or tls_psk, or all three");
	assert_refused("[nbd]\ntls=allowed\ntls_key=k\n",
		       "/etc/offsite.conf: [nbd] tls_certificate and tls_key go together: give both");
	assert_refused("[nbd]\ntls=allowed\ntls_psk=p\ntls_ca=a\n",
		       "/etc/offsite.conf: [nbd] tls_ca is for clients' certificates, which need tls_certificate and tls_key");
}

static void test_refused_peers(void **state)
{
	(void)state;
	assert_refused("[site]\nzone=a\n[peer a]\nregion=r\n",
		       "/etc/offsite.conf:3: peer a has the zone of this site: every site needs its own");
	assert_refused("[peer z]\nsecret=" SECRET "\n", "/etc/offsite.conf:1: peer z needs \"region = ...\"");
	assert_refused("[peer z]\nregion=r\n",
		       "/etc/offsite.conf:1: peer z needs \"secret = ...\" or \"secret_file = ...\", the same at both sites");
	assert_refused("[peer z]\nregion=r\nsecret=" SECRET "\n", "/etc/offsite.conf:1: peer z needs \"address = "
		       "tcp:HOST:PORT\": the site whose zone sorts first dials the other, and that is this one");
	assert_refused("[link]\nlisten=none\n[peer a]\nregion=r\nsecret=" SECRET "\n", "/etc/offsite.conf:3: peer a dials this "
		       "site, as its zone sorts first: [link] listen may not be \"none\"");
}

static void test_long_and_binary(void **state)
{
	char text[400];
	struct config config;
	struct error error;

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text, "[site]\nzone=", 12);
	text[sizeof(text) - 1] = '\0';
	assert_refused(text, "/etc/offsite.conf:2: the line is longer than 198 characters");
	memset(text, '[', 60);
	text[60] = ']';
	text[61] = '\0';
	assert_refused(text, "/etc/offsite.conf:1: the section's name is longer than 49 characters");
	config_init(&config, "/data");
	assert_int_equal(config_parse(&config, "f", "[site]\n\0\n", 9, &error), -EINVAL);
	assert_string_equal(error.text, "f:2: the line holds a zero byte: this is not a text file");
	config_fini(&config);
}

/* Every prefix and every byte changed: answers, never crashes (the sanitizers watch). */
static void test_damaged(void **state)
{
	static const char good[] = "[site]\nregion=r\nzone=b\n[limits]\nkept_bytes=64M\n"
				   "[peer a]\nregion=r\nsecret=" SECRET "\n";
	struct config config;

	(void)state;
	for (size_t at = 0; at < sizeof(good) - 1; at++) {
		for (int byte = 0; byte < 256; byte += 5) {
			char text[sizeof(good)];

			memcpy(text, good, sizeof(text));
			text[at] = (char)byte;
			config_init(&config, "/data");
			if (config_parse(&config, "f", text, at + 1, NULL) == 0)
				config_check(&config, "f", NULL);
			config_fini(&config);
			config_init(&config, "/data");
			if (config_parse(&config, "f", text, sizeof(text) - 1, NULL) == 0)
				config_check(&config, "f", NULL);
			config_fini(&config);
		}
	}
}

static void test_no_data(void **state)
{
	struct config config;
	struct error error;

	(void)state;
	config_init(&config, "");
	assert_int_equal(config_check(&config, NULL, &error), -EINVAL);
	assert_string_equal(error.text,
			    "offsite.conf: no data folder: give \"data = PATH\" in [site], or start with --dir PATH");
	config_fini(&config);
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void test_files(void **state)
{
	char folder[] = "/tmp/offsite-config-XXXXXX";
	char file[64], secret[64], expected[200];
	struct config config;
	struct error error = { 0 };

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(file, sizeof(file), "%s/offsite.conf", folder);
	snprintf(secret, sizeof(secret), "%s/secret", folder);
	config_init(&config, folder);
	assert_int_equal(config_read(&config, file, &error), -ENOENT);
	write_file(file, "[peer a]\nregion=r\nsecret_file=secret\n");
	assert_int_equal(config_read(&config, file, &error), 0);
	assert_int_equal(config_check(&config, file, &error), -ENOENT);
	snprintf(expected, sizeof(expected), "%s:1: secret_file: cannot read %s", file, secret);
	assert_memory_equal(error.text, expected, strlen(expected));
	config_fini(&config);

	write_file(secret, SECRET "\n");
	config_init(&config, folder);
	assert_int_equal(config_read(&config, file, &error), 0);
	assert_int_equal(config_check(&config, file, &error), 0);
	assert_string_equal(config.peers[0].secret, SECRET);
	config_fini(&config);
	unlink(file);
	unlink(secret);
	rmdir(folder);
}

static void test_sizes(void **state)
{
	uint64_t bytes = 0;

	(void)state;
	assert_int_equal(config_parse_size("0", &bytes), 0);
	assert_int_equal(config_parse_size("1k", &bytes), 0);
	assert_int_equal(bytes, 1024);
	assert_int_equal(config_parse_size("16777215T", &bytes), 0);
	assert_int_equal(config_parse_size("16777216T", &bytes), -EINVAL);
	assert_int_equal(config_parse_size("99999999999999999999", &bytes), -EINVAL);
	assert_int_equal(config_parse_size("", &bytes), -EINVAL);
	assert_int_equal(config_parse_size("-1", &bytes), -EINVAL);
	assert_int_equal(config_parse_size("M", &bytes), -EINVAL);
}

/* What packaging/offsite.conf shows commented out, "# key = value", with the comment taken off; peers are an example, and paths
 * that hold "<" are words. */
static void read_shown_defaults(const char *path, char *out, size_t room)
{
	FILE *stream = fopen(path, "re");
	char line[256];
	size_t at = 0;

	assert_non_null(stream);
	while (fgets(line, sizeof line, stream) != NULL && strncmp(line, "# [peer", 7) != 0) {
		const char *text = strncmp(line, "# ", 2) == 0 ? line + 2 : line;
		size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

		if (line[0] != '[' && (length == 0 || strncmp(text + length, " = ", 3) != 0 || strchr(text, '<') != NULL))
			continue;
		at += (size_t)snprintf(out + at, room - at, "%s", text);
		assert_true(at < room);
	}
	fclose(stream);
}

static const char *example; /* packaging/offsite.conf */

static void test_example_shows_the_defaults(void **state)
{
	struct config config, none;
	char text[4096] = "";

	(void)state;
	read_shown_defaults(example, text, sizeof text);
	assert_non_null(strstr(text, "kept_bytes = ")); /* it was read at all */
	assert_string_equal(parse(&config, text), "");
	config_init(&none, "/data");
	assert_string_equal(config.region, none.region);
	assert_string_equal(config.zone, none.zone);
	assert_string_equal(config.directory, "/var/lib/offsite");
	assert_int_equal(config.log, none.log);
	assert_string_equal(config.api_listen, "127.0.0.1:8650");
	assert_string_equal(config.nbd_listen, none.nbd_listen);
	assert_string_equal(config.link_listen, none.link_listen);
	assert_int_equal(config.limits.kept_bytes_max, none.limits.kept_bytes_max);
	assert_int_equal(config.limits.window_bytes_max, none.limits.window_bytes_max);
	assert_int_equal(config.limits.staging_bytes_max, none.limits.staging_bytes_max);
	assert_int_equal(config.limits.cycle_ms_min, none.limits.cycle_ms_min);
	assert_int_equal(config.pairs_per_group, none.pairs_per_group);
	config_fini(&config);
	config_fini(&none);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_everything), cmocka_unit_test(test_refused_keys),
		cmocka_unit_test(test_refused_values), cmocka_unit_test(test_doors), cmocka_unit_test(test_tls),
		cmocka_unit_test(test_refused_peers),
		cmocka_unit_test(test_long_and_binary), cmocka_unit_test(test_damaged), cmocka_unit_test(test_no_data),
		cmocka_unit_test(test_files), cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_example_shows_the_defaults),
	};

	assert(argc == 2);
	example = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
