#include "base/hash.h"

#include <nettle/hmac.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#define XXH_STATIC_LINKING_ONLY /* XXH3_state_t on the stack */
#include <xxhash.h>

uint64_t hash_xxh3(const void *data, size_t size)
{
	return XXH3_64bits(data, size);
}

uint64_t hash_xxh3_pair(const void *first, size_t first_size, const void *second, size_t second_size)
{
	XXH3_state_t state;

	XXH3_64bits_reset(&state);
	XXH3_64bits_update(&state, first, first_size);
	XXH3_64bits_update(&state, second, second_size);
	return XXH3_64bits_digest(&state);
}

void hash_sha256(const void *data, size_t size, uint8_t out[SHA256_SIZE])
{
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, size, data);
	sha256_digest(&context, SHA256_SIZE, out);
}

void hash_sha256_hex(const void *data, size_t size, char out[SHA256_HEX_SIZE])
{
	uint8_t digest[SHA256_SIZE];

	hash_sha256(data, size, digest);
	hash_to_hex(digest, sizeof digest, out);
}

void hash_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[SHA256_SIZE])
{
	struct hmac_sha256_ctx context;

	hmac_sha256_set_key(&context, key_size, key);
	hmac_sha256_update(&context, size, data);
	hmac_sha256_digest(&context, SHA256_SIZE, out);
}

void hash_hmac_sha1(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[SHA1_SIZE])
{
	struct hmac_sha1_ctx context;

	hmac_sha1_set_key(&context, key_size, key);
	hmac_sha1_update(&context, size, data);
	hmac_sha1_digest(&context, SHA1_SIZE, out);
}

bool hash_equal(const void *left, const void *right, size_t size)
{
	return memeql_sec(left, right, size) != 0;
}

void hash_to_hex(const void *data, size_t size, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *bytes = data;

	for (size_t i = 0; i < size; i++) {
		out[2 * i] = digits[bytes[i] >> 4];
		out[2 * i + 1] = digits[bytes[i] & 15];
	}
	out[2 * size] = 0;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

bool hash_read_hex(const char *hex, uint8_t *out, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = high < 0 ? -1 : hex_digit(hex[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool hash_from_hex(const char *hex, uint8_t *out, size_t size)
{
	return hash_read_hex(hex, out, size) && hex[2 * size] == 0;
}
