/* Folders of the unit tests' own. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

/* Removes a folder and all in it; fails the test when it cannot. */
void folder_remove(const char *path);

/* For a group of tests: a folder that is its state, a path, and goes with it. */
int folder_set_up(void **state);
int folder_tear_down(void **state);

#endif
