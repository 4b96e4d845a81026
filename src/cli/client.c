#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#define ANSWER_MAX (16u * 1024u * 1024u)
#define TIMEOUT_S 10L
#define DEFAULT_DIRECTORY "/var/lib/offsite"
#define COMMON_PARAMETERS 8

struct client {
	CURL *curl;
	char endpoint[512];
	char key_id[64];
	char secret[128];
};

struct buffer {
	char *bytes;
	size_t size;
};

static void buffer_add(struct buffer *buffer, const char *bytes, size_t size)
{
	buffer->bytes = memory_resize(buffer->bytes, buffer->size + size + 1, 1);
	memcpy(buffer->bytes + buffer->size, bytes, size);
	buffer->size += size;
	buffer->bytes[buffer->size] = 0;
}

static void buffer_text(struct buffer *buffer, const char *text)
{
	buffer_add(buffer, text, strlen(text));
}

/* RFC 3986: all but letters, digits and - _ . ~ */
static void buffer_escape(struct buffer *buffer, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
	char escaped[4];

	for (; *text != 0; text++) {
		if (strchr(plain, *text) != NULL) {
			buffer_add(buffer, text, 1);
			continue;
		}
		snprintf(escaped, sizeof escaped, "%%%02X", (unsigned)(unsigned char)*text);
		buffer_add(buffer, escaped, 3);
	}
}

/* --- who calls, and where --- */

/* One line "name=value" of DIR/credentials. */
static void read_credential(struct client *client, char *line)
{
	char *value = strchr(line, '=');

	line[strcspn(line, "\r\n")] = 0;
	if (value == NULL)
		return;
	for (char *end = value; end > line && (end[-1] == ' ' || end[-1] == '='); end--)
		end[-1] = 0;
	*value++ = 0;
	value += strspn(value, " ");
	if (strcmp(line, "endpoint") == 0 && client->endpoint[0] == 0)
		text_copy(client->endpoint, sizeof client->endpoint, value);
	else if (strcmp(line, "access_key_id") == 0)
		text_copy(client->key_id, sizeof client->key_id, value);
	else if (strcmp(line, "access_key_secret") == 0)
		text_copy(client->secret, sizeof client->secret, value);
}

static int read_credentials(struct client *client, const char *directory, struct error *error)
{
	char path[1024], line[512];
	FILE *file;

	snprintf(path, sizeof path, "%s/credentials", directory);
	file = fopen(path, "re");
	if (file == NULL)
		return error_set(error, -errno, "cannot read %s (%s): %s, or name its data folder with --dir, or "
				 "set OFFSITE_ENDPOINT, OFFSITE_KEY_ID and OFFSITE_KEY_SECRET", path, error_meaning(errno),
				 errno == EACCES ? "be root" : "start offsited, which makes it");
	while (fgets(line, sizeof line, file) != NULL)
		read_credential(client, line);
	fclose(file);
	memory_wipe(line, sizeof line);
	if (client->endpoint[0] == 0 || client->key_id[0] == 0 || client->secret[0] == 0)
		return error_set(error, -EINVAL, "%s lacks the endpoint or the access key: start offsited once to have it made",
				 path);
	return 0;
}

int client_new(const char *directory, const char *endpoint, struct client **out_client, struct error *error)
{
	const char *from = getenv("OFFSITE_ENDPOINT"), *id = getenv("OFFSITE_KEY_ID"), *secret = getenv("OFFSITE_KEY_SECRET");
	struct client *client = memory_new(1, sizeof *client);
	int result = 0;

	text_copy(client->endpoint, sizeof client->endpoint, endpoint != NULL ? endpoint : "");
	if (directory == NULL && id != NULL && secret != NULL && (from != NULL || endpoint != NULL)) {
		if (endpoint == NULL)
			text_copy(client->endpoint, sizeof client->endpoint, from);
		text_copy(client->key_id, sizeof client->key_id, id);
		text_copy(client->secret, sizeof client->secret, secret);
	} else {
		if (directory == NULL)
			directory = getenv("OFFSITE_DIR") != NULL ? getenv("OFFSITE_DIR") : DEFAULT_DIRECTORY;
		result = read_credentials(client, directory, error);
	}
	if (result == 0 && (client->curl = curl_easy_init()) == NULL)
		result = error_set(error, -ENOMEM, "the HTTP library cannot start");
	if (result < 0) {
		client_free(client);
		return result;
	}
	*out_client = client;
	return 0;
}

void client_free(struct client *client)
{
	if (client->curl != NULL)
		curl_easy_cleanup(client->curl);
	memory_wipe(client->secret, sizeof client->secret);
	free(client);
}

/* --- signing, version 1 --- */

static int by_name(const void *left, const void *right)
{
	return strcmp(((const struct parameter *)left)->name, ((const struct parameter *)right)->name);
}

static void encode_base64(const uint8_t *bytes, size_t size, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < size; i += 3) {
		uint32_t group = (uint32_t)bytes[i] << 16 | (i + 1 < size ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (i + 2 < size ? bytes[i + 2] : 0);

		*out++ = digits[group >> 18];
		*out++ = digits[group >> 12 & 63];
		*out++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
		*out++ = i + 2 < size ? digits[group & 63] : '=';
	}
	*out = 0;
}

/* The form body: every parameter in order, and the signature over them. */
static void sign(const struct client *client, struct parameter *all, size_t count, struct buffer *out_body)
{
	struct buffer to_sign = { 0 };
	char key[sizeof client->secret + 1], signature[32];
	uint8_t digest[SHA1_SIZE];

	qsort(all, count, sizeof all[0], by_name);
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buffer_text(out_body, "&");
		buffer_escape(out_body, all[i].name);
		buffer_text(out_body, "=");
		buffer_escape(out_body, all[i].value);
	}
	buffer_text(&to_sign, "POST&%2F&");
	buffer_escape(&to_sign, out_body->bytes);
	snprintf(key, sizeof key, "%s&", client->secret);
	hash_hmac_sha1(key, strlen(key), to_sign.bytes, to_sign.size, digest);
	memory_wipe(key, sizeof key);
	free(to_sign.bytes);
	encode_base64(digest, sizeof digest, signature);
	buffer_text(out_body, "&Signature=");
	buffer_escape(out_body, signature);
}

/* --- the call --- */

static size_t on_bytes(char *bytes, size_t size, size_t count, void *data)
{
	struct buffer *buffer = data;

	if (buffer->size + size * count > ANSWER_MAX)
		return 0; /* ends the transfer with an error */
	buffer_add(buffer, bytes, size * count);
	return size * count;
}

static json_t *read_answer(const struct client *client, const struct buffer *answer, long status, struct error *error)
{
	json_error_t wrong;
	json_t *json = answer->bytes == NULL ? NULL : json_loadb(answer->bytes, answer->size, 0, &wrong);
	const char *code = json_string_value(json_object_get(json, "Code"));
	const char *message = json_string_value(json_object_get(json, "Message"));

	if (json != NULL && status == 200)
		return json;
	if (code != NULL && message != NULL)
		error_set(error, -EPERM, "%s (%s)", message, code);
	else
		error_set(error, -EPROTO, "%s does not answer like an Offsite API (HTTP status %ld): is the address right?",
			  client->endpoint, status);
	json_decref(json);
	return NULL;
}

static json_t *post(struct client *client, const struct buffer *body, struct error *error)
{
	struct buffer answer = { 0 };
	json_t *json = NULL;
	long status = 0;
	CURLcode code;

	curl_easy_setopt(client->curl, CURLOPT_URL, client->endpoint);
	curl_easy_setopt(client->curl, CURLOPT_POSTFIELDS, body->bytes);
	curl_easy_setopt(client->curl, CURLOPT_TIMEOUT, TIMEOUT_S);
	curl_easy_setopt(client->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(client->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(client->curl, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(client->curl, CURLOPT_WRITEDATA, &answer);
	code = curl_easy_perform(client->curl);
	if (code == CURLE_OK) {
		curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &status);
		json = read_answer(client, &answer, status, error);
	} else {
		error_set(error, -ECONNREFUSED, "cannot reach offsited at %s (%s): is it running? If it is elsewhere, "
			  "give --endpoint", client->endpoint, curl_easy_strerror(code));
	}
	free(answer.bytes);
	return json;
}

json_t *client_call(struct client *client, const char *version, const char *action, const struct parameter *parameters,
		    struct error *error)
{
	struct parameter all[CLIENT_PARAMETERS_MAX + COMMON_PARAMETERS];
	char nonce[33], when[32];
	uint8_t random[16];
	struct buffer body = { 0 };
	time_t now = time(NULL);
	struct tm utc;
	size_t count = 0;
	json_t *json;

	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random) {
		error_set(error, -EIO, "the system gives no random bytes");
		return NULL;
	}
	hash_to_hex(random, sizeof random, nonce);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	all[count++] = (struct parameter){ "AccessKeyId", client->key_id };
	all[count++] = (struct parameter){ "Action", action };
	all[count++] = (struct parameter){ "Format", "JSON" };
	all[count++] = (struct parameter){ "SignatureMethod", "HMAC-SHA1" };
	all[count++] = (struct parameter){ "SignatureNonce", nonce };
	all[count++] = (struct parameter){ "SignatureVersion", "1.0" };
	all[count++] = (struct parameter){ "Timestamp", when };
	all[count++] = (struct parameter){ "Version", version };
	for (; parameters->name != NULL && count < sizeof all / sizeof all[0]; parameters++) {
		if (parameters->value != NULL && parameters->value[0] != 0)
			all[count++] = *parameters;
	}
	sign(client, all, count, &body);
	json = post(client, &body, error);
	free(body.bytes);
	return json;
}
