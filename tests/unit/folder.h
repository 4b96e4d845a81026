/* Folders of the unit tests' own. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

/* Removes a folder and all in it; fails the test when it cannot. */
void folder_remove(const char *path);

#endif
