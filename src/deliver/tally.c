#include "deliver/tally.h"

#include <stdlib.h>

#include "base/xalloc.h"

static bool
is_trouble(const struct error *err)
{
	return err->class != ERROR_DELIVERY_TEMP && err->class != ERROR_DELIVERY_PERM;
}

/* Trouble is what is about more than one message; the gravest stays. */
static void
note_trouble(struct tally *tally, const struct error *err)
{
	int now, graver;

	if (!is_trouble(err))
		return;
	if (tally->has_trouble) {
		now = error_exit_status(tally->trouble.class);
		graver = error_graver_status(now, error_exit_status(err->class));
		if (graver == now)
			return;
	}
	tally->has_trouble = true;
	tally->trouble = *err;
}

void
tally_fail(struct tally *tally, const struct plan_row *row, const struct error *err)
{
	tally->done++;
	tally_tell(tally, row, err);
}

void
tally_tell(struct tally *tally, const struct plan_row *row, const struct error *err)
{
	tally->failed++;
	note_trouble(tally, err);
	if (tally->failure_count == tally->failure_size) {
		tally->failure_size = tally->failure_size != 0 ? 2 * tally->failure_size : 8;
		tally->failures = xreallocarray(
			tally->failures, tally->failure_size, sizeof *tally->failures);
	}
	tally->failures[tally->failure_count++] = (struct tally_failure){
		.row = row, .is_trouble = is_trouble(err), .text = xstrdup(err->text)};
}

void
tally_forget_failures(struct tally *tally)
{
	for (size_t i = 0; i < tally->failure_count; i++)
		free(tally->failures[i].text);
	tally->failure_count = 0;
}

void
tally_release(struct tally *tally)
{
	tally_forget_failures(tally);
	free(tally->failures);
	*tally = (struct tally){0};
}
