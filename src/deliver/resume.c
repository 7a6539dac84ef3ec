#include "deliver/resume.h"

#include "base/clock.h"
#include "base/log.h"
#include "deliver/state/ticket.h"

/* Certificates last for weeks at the shortest: a day late matters to nobody. */
#define LIFE_SECONDS 86400

void
resume_take(struct resume *resume, struct secret *out)
{
	int64_t now = clock_wall_seconds(), born = now;
	struct error err;

	if (resume->changes_nothing)
		return;
	if (ticket_take(resume->state_dir, resume->account->name, out, &born, &err) != 0)
		log_verbose("no TLS session is resumed: %s", err.text);
	/* One from the future says nothing of its age. */
	if (secret_is_set(out) && (born > now || born <= now - LIFE_SECONDS))
		secret_release(out);
	resume->born = secret_is_set(out) ? born : now;
}

/* One a session, of bounded size: a fetcher that was taken over fills no disk with it. */
int
resume_take_frame(
	struct resume *resume, struct peer *peer, const struct link_frame *frame, struct error *err)
{
	if (resume->has_one || frame->data_len == 0 || frame->data_len > LINK_TICKET_MAX)
		return peer_out_of_turn(frame, err);
	resume->has_one = true;
	if (!resume->changes_nothing)
		secret_set(&resume->ticket, frame->data, frame->data_len);
	link_forget_token(peer->link);
	return 0;
}

void
resume_keep(const struct resume *resume)
{
	int64_t born = resume->born != 0 ? resume->born : clock_wall_seconds();
	struct error err;

	if (secret_is_set(&resume->ticket) &&
		ticket_keep(
			resume->state_dir, resume->account->name, &resume->ticket, born, &err) != 0)
		log_verbose("the TLS session cannot be resumed next time: %s", err.text);
}

void
resume_release(struct resume *resume)
{
	secret_release(&resume->ticket);
}
