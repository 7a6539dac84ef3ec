#include "fetch/survey.h"

#include <string.h>

#include "base/buf.h"
#include "base/quote.h"
#include "config/mechanism.h"
#include "fetch/auth/login.h"
#include "fetch/pop3.h"
#include "fetch/wire/conn.h"
#include "fetch/wire/tls.h"

struct survey {
	const struct account *account;
	struct link *link;
	struct conn *conn;
	struct pop3_capabilities caps;
	char timestamp[POP3_TIMESTAMP_MAX];
	struct buf text;
};

static void
put_address(struct survey *survey)
{
	const char *name = conn_remote_name(survey->conn);

	buf_printf(&survey->text, "  address    %.*s\n", (int)strcspn(name, ";"), name);
}

/* `result` is that of the handshake. */
static void
put_tls(struct survey *survey, int result, const struct error *err)
{
	size_t before = survey->text.len;

	tls_take_report(&survey->text);
	if (survey->text.len == before)
		return; /* it did not get that far */
	if (result == 0)
		buf_append_string(&survey->text, "  accepted   yes\n");
	else
		buf_printf(&survey->text, "  accepted   no: %s\n", err->text);
}

static int
greet(struct survey *survey, struct error *err)
{
	struct pop3_reply reply;
	char quoted[QUOTE_SIZE];

	if (pop3_read_greeting(survey->conn, &reply, err) != 0)
		return -1;
	buf_printf(&survey->text, "  greeting   %s %s\n", reply.ok ? "+OK" : "-ERR",
		quote_bytes(quoted, reply.text, reply.text_len));
	return pop3_take_greeting(&reply, survey->timestamp, err);
}

static int
ask_capabilities(struct survey *survey, const char *when, struct error *err)
{
	struct buf lines = {0};
	int result;

	pop3_queue_capa(survey->conn);
	result = pop3_read_capa_lines(survey->conn, &survey->caps, &lines, err);
	if (result == 0 && !survey->caps.known) {
		buf_printf(&survey->text, "  capabilities %s: none, it refuses CAPA\n", when);
	} else if (result == 0) {
		buf_printf(&survey->text, "  capabilities %s\n", when);
		buf_append(&survey->text, buf_data(&lines), lines.len);
	}
	buf_release(&lines);
	return result;
}

static int
start_tls(struct survey *survey, struct error *err)
{
	struct pop3_reply reply;
	int result;

	if (pop3_stls(survey->conn, &reply, err) != 0)
		return -1;
	if (!reply.ok)
		return pop3_refused(err, pop3_refusal_class(&reply, ERROR_TLS), "STLS", &reply);
	result = conn_start_tls(survey->conn, err);
	put_tls(survey, result, err);
	return result;
}

static void
put_login(struct survey *survey)
{
	const struct login login = {
		.account = survey->account,
		.caps = &survey->caps,
		.timestamp = survey->timestamp,
	};
	const char *chosen = login_choose(survey->conn, &login);
	char quoted[QUOTE_SIZE];
	size_t blank = strspn(survey->caps.mechanisms, " ");
	const char *names = survey->caps.mechanisms + blank;
	size_t len = strlen(names);

	while (len != 0 && names[len - 1] == ' ')
		len--;
	buf_printf(&survey->text, "  mechanisms %s%s%s%s\n", quote_bytes(quoted, names, len),
		survey->caps.user ? len != 0 ? " USER/PASS" : "USER/PASS" : "",
		survey->timestamp[0] != '\0' ? " APOP" : "",
		len == 0 && !survey->caps.user && survey->timestamp[0] == '\0' ? "none listed"
									       : "");
	buf_printf(&survey->text, "  login      %s\n",
		chosen != NULL ? chosen : "no way that both sides know");
	buf_append_string(&survey->text,
		"  What the server can do behind the login is not known: nobody has logged in.\n");
}

static int
look(struct survey *survey, struct error *err)
{
	bool is_stls = survey->account->tls == ACCOUNT_TLS_STARTTLS;

	survey->conn = conn_open(survey->account, link_fd(survey->link), err);
	if (survey->conn != NULL) {
		conn_set_link(survey->conn, survey->link);
		put_address(survey);
	}
	put_tls(survey, survey->conn != NULL ? 0 : -1, err);
	if (survey->conn == NULL || greet(survey, err) != 0 ||
		ask_capabilities(survey, is_stls ? "before TLS" : "before the login", err) != 0)
		return -1;
	if (is_stls &&
		(start_tls(survey, err) != 0 || ask_capabilities(survey, "within TLS", err) != 0))
		return -1;
	if (survey->caps.stls && survey->account->tls == ACCOUNT_TLS_NONE)
		buf_append_string(&survey->text,
			"  TLS        none, and the server has it: use tls = \"starttls\"\n");
	put_login(survey);
	pop3_queue_quit(survey->conn);
	return conn_flush(survey->conn, err);
}

static const char *
tls_word(enum account_tls tls)
{
	return tls == ACCOUNT_TLS_IMPLICIT    ? "implicit TLS"
		: tls == ACCOUNT_TLS_STARTTLS ? "STLS"
					      : "in clear";
}

int
survey_run(const struct account *account, struct link *link, struct error *err)
{
	struct survey survey = {.account = account, .link = link};
	int result;

	pop3_capabilities_init(&survey.caps);
	buf_printf(&survey.text, "%s, port %u, %s\n", account->host, account->port,
		tls_word(account->tls));
	tls_keep_report();
	result = look(&survey, err);
	conn_close(survey.conn);
	if (survey.text.len > LINK_INFO_MAX)
		survey.text.len = LINK_INFO_MAX;
	link_put_data(link, LINK_INFO, buf_data(&survey.text), survey.text.len);
	buf_release(&survey.text);
	if (result == 0)
		return 0;
	if (err->class == ERROR_CONFIG || err->class == ERROR_SYSTEM ||
		err->class == ERROR_INTERRUPTED)
		return -1;
	return error_prefix(err, "'%s'", account->host);
}
