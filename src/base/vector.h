/* Pieces of memory that are sent one behind the other, of which a call may take less than all. */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* Takes `taken` bytes, no more than there are, off the front; changes the vector and gives how many of its pieces are left. */
static inline size_t vector_advance(struct iovec **vector, size_t count, size_t taken)
{
	while (count > 0 && taken >= (*vector)->iov_len) {
		taken -= (*vector)->iov_len;
		++*vector;
		count--;
	}
	if (count > 0) {
		(*vector)->iov_base = (uint8_t *)(*vector)->iov_base + taken;
		(*vector)->iov_len -= taken;
	}
	return count;
}

#endif
