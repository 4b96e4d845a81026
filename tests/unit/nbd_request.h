/* The bytes of a request, for those who write them themselves. */
#ifndef TESTS_NBD_REQUEST_H
#define TESTS_NBD_REQUEST_H

#include <string.h>

#include "base/bytes.h"
#include "nbd/format.h"

static inline void nbd_request_encode(uint8_t out[NBD_REQUEST_SIZE], uint16_t type, uint64_t cookie, uint64_t offset,
				      uint32_t length)
{
	memset(out, 0, NBD_REQUEST_SIZE);
	put_be32(out, NBD_REQUEST_MAGIC);
	put_be16(out + 6, type);
	put_be64(out + 8, cookie);
	put_be64(out + 16, offset);
	put_be32(out + 24, length);
}

#endif
