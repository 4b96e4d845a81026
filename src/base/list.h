/* Doubly linked list whose links live in the members. An empty list points to itself; a link that is in no list, too.
 * Not thread safe. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* Walks the list; the body may remove (and free) the present entry, and no other. */
#define list_for_each(entry, head) \
	for (struct list *entry = (head)->next, *entry##_next = entry->next; entry != (head); \
	     entry = entry##_next, entry##_next = entry->next)

static inline void list_init(struct list *list) { list->next = list->prev = list; }
static inline bool list_is_empty(const struct list *list) { return list->next == list; }

static inline void list_append(struct list *head, struct list *entry)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

static inline void list_remove(struct list *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
	list_init(entry);
}

/* Takes the first entry out and gives it; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head)
{
	struct list *entry = head->next;

	if (entry == head)
		return NULL;
	list_remove(entry);
	return entry;
}

/* Moves all entries of `from` to the end of `head`, in order; `from` is empty then. */
static inline void list_splice(struct list *head, struct list *from)
{
	if (list_is_empty(from))
		return;
	from->next->prev = head->prev;
	head->prev->next = from->next;
	from->prev->next = head;
	head->prev = from->prev;
	list_init(from);
}

#endif
