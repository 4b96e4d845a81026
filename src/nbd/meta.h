/* What a client asks about metadata contexts ("Metadata querying"). There is one: base:allocation, where data and holes are. */
#ifndef NBD_META_H
#define NBD_META_H

#include <stdbool.h>
#include <stdint.h>

#define META_ALLOCATION "base:allocation"
#define META_ALLOCATION_ID 1u

/* The data of LIST_META_CONTEXT or SET_META_CONTEXT; borrows them. */
struct meta_request {
	const uint8_t *name; /* of the export */
	uint32_t name_size;
	bool allocation;     /* base:allocation is among what is asked for */
};

/* False when the lengths do not fit together, or a query is not "namespace:rest". A list without queries asks for all, a set
 * for none; only a list may ask for a namespace as a whole. */
bool meta_parse(const uint8_t *data, uint32_t size, bool set, struct meta_request *out_request);

#endif
