/* Runs of data and of holes, as those who store, serve and ask about them tell each other. */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

struct span {
	uint64_t length; /* bytes, not 0 */
	bool hole;       /* it reads as zeros and takes no space; else it may hold anything */
};

#endif
