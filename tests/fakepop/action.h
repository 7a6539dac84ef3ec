/*
 * Reads patterns and actions of a script's line; script.h says what they are.
 */
#ifndef POPHAUL_TESTS_FAKEPOP_ACTION_H
#define POPHAUL_TESTS_FAKEPOP_ACTION_H

#include "script.h"
#include "words.h"

/* Whether the next word is the name of an action. */
bool action_is_next(const struct words *words);

/* Append the actions on this line, separated by ';'. Paths are relative to `dir`. */
void actions_read(struct actions *actions, struct words *words, const char *dir);

/* A pattern in front of actions: /regex/, "words", or words up to the first action's name. */
void pattern_read(struct pattern *pattern, struct words *words);

/* `path`, below `dir` unless it is absolute or there is no `dir`. The caller frees. */
char *path_below(const char *dir, const char *path);

#endif
