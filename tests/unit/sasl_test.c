#include "fetch/auth/sasl.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base64.h"
#include "check.h"
#include "mech_all.h"
#include "fetch/wire/tls.h"

#define SCRAM_HASH_SIZE 32

static struct secret password;
static struct mech_settings settings = {
	.host = "pop.example.org",
	.user = "jane",
	.password = &password,
	.local_name = "127.0.0.1;40000",
	.remote_name = "127.0.0.1;995",
};

static struct mech *
start(const char *mechanism, const char *user, const char *secret, struct mech_data *initial)
{
	struct error err;
	struct mech *mech;

	secret_set(&password, secret, strlen(secret));
	settings.mechanism = mechanism;
	settings.user = user;
	mech = mech_start(&settings, initial, &err);
	if (!CHECK(mech != NULL)) {
		fprintf(stderr, "\t%s: %s\n", mechanism, err.text);
		exit(1);
	}
	return mech;
}

static int
step(struct mech *mech, const char *challenge, struct mech_data *response, struct error *err)
{
	return mech_step(mech, challenge, strlen(challenge), response, err);
}

static void
test_known_plugins_only(void)
{
	CHECK(mech_is_available("PLAIN"));
	CHECK(mech_is_available("plain"));
	CHECK(mech_is_available("LOGIN"));
	CHECK(mech_is_available("CRAM-MD5"));
	CHECK(mech_is_available("SCRAM-SHA-256"));
	CHECK(!mech_is_available("ANONYMOUS"));
	CHECK(mech_is_available("DIGEST-MD5"));
	CHECK(mech_is_available("NTLM"));
	CHECK(!mech_is_available("OTP"));
	CHECK(!mech_is_available(""));
}

/* pop3 rule 51, RFC 4616: no authorization id, then user and password behind NULs. */
static void
test_plain(void)
{
	static const char want[] = "\0jane\0s3cret w\xc3\xb6rd";
	struct mech_data initial;
	struct mech *mech = start("PLAIN", "jane", "s3cret w\xc3\xb6rd", &initial);
	struct mech_data response;
	struct error err;

	CHECK_BYTES(initial.data, initial.len, want, sizeof want - 1);
	CHECK(mech_is_done(mech));
	CHECK(step(mech, "more?", &response, &err) == -1);
	CHECK(err.class == ERROR_AUTH);
	CHECK(strncmp(err.text, "PLAIN: ", 7) == 0);
	mech_free(mech);
}

/* RFC 4616: whom to act for stands first, and in SCRAM (RFC 5802 section 5.1) behind "a=". */
static void
test_authorization(void)
{
	static const char plain[] = "joe\0jane\0s3cret", scram[] = "n,a=joe,n=jane,r=";
	struct mech_data initial;
	struct mech *mech;

	settings.authorize_as = "joe";
	mech = start("PLAIN", "jane", "s3cret", &initial);
	CHECK_BYTES(initial.data, initial.len, plain, sizeof plain - 1);
	mech_free(mech);
	mech = start("SCRAM-SHA-256", "jane", "s3cret", &initial);
	CHECK(initial.len > sizeof scram && memcmp(initial.data, scram, sizeof scram - 1) == 0);
	mech_free(mech);
	settings.authorize_as = NULL;
}

static void
test_login(void)
{
	struct mech_data data = {0};
	struct error err;
	struct mech *mech = start("LOGIN", "jane", "s3cret", &data);

	CHECK(data.data == NULL);
	CHECK(!mech_is_done(mech));
	CHECK(step(mech, "Username:", &data, &err) == 0);
	CHECK_BYTES(data.data, data.len, "jane", 4);
	CHECK(!mech_is_done(mech));
	CHECK(step(mech, "Password:", &data, &err) == 0);
	CHECK_BYTES(data.data, data.len, "s3cret", 6);
	CHECK(mech_is_done(mech));
	mech_free(mech);
}

/* pop3 rule 52, RFC 2195 section 2. */
static void
test_cram_md5(void)
{
	static const char want[] = "tim b913a602c7eda7a495b4e6e7334d3890";
	struct mech_data data = {0};
	struct error err;
	struct mech *mech = start("CRAM-MD5", "tim", "tanstaaftanstaaf", &data);

	CHECK(data.data == NULL);
	CHECK(!mech_is_done(mech));
	CHECK(step(mech, "<1896.697170952@postoffice.reston.mci.net>", &data, &err) == 0);
	CHECK_BYTES(data.data, data.len, want, sizeof want - 1);
	CHECK(mech_is_done(mech));
	mech_free(mech);
}

static void
test_failures_on_this_side(void)
{
	struct mech_settings no_password = settings;
	struct secret none = {0};
	struct mech_data data;
	struct error err;

	settings.mechanism = "OTP";
	CHECK(mech_start(&settings, &data, &err) == NULL);
	CHECK(err.class == ERROR_AUTH);
	CHECK(strstr(err.text, "has no OTP") != NULL);

	no_password.mechanism = "PLAIN";
	no_password.password = &none;
	CHECK(mech_start(&no_password, &data, &err) == NULL);
	CHECK(err.class == ERROR_AUTH);
	CHECK_STR(err.text, "PLAIN: no password is known");
}

/* One SCRAM exchange: the server's side of RFC 5802, as far as the client can tell. */
struct scram {
	struct mech *mech;
	char client_first_bare[256];
	char nonce[128];
	char server_first[256];
};

static void
scram_start(struct scram *s)
{
	struct mech_data initial;
	const char *nonce;

	s->mech = start("SCRAM-SHA-256", "jane", "pencil", &initial);
	CHECK(!mech_is_done(s->mech));
	if (!CHECK(initial.len > 10 && initial.len < sizeof s->client_first_bare) ||
		!CHECK(memcmp(initial.data, "n,,n=jane,r=", 12) == 0))
		exit(1);
	snprintf(s->client_first_bare, sizeof s->client_first_bare, "%.*s", (int)initial.len - 3,
		initial.data + 3);
	nonce = strstr(s->client_first_bare, "r=") + 2;
	snprintf(s->nonce, sizeof s->nonce, "%.100sSERVER", nonce);
}

static void
hmac(const void *key, size_t key_len, const void *data, size_t len, uint8_t out[SCRAM_HASH_SIZE])
{
	CHECK(gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key_len, data, len, out) == 0);
}

/* "v=" and what a server that knows the password signs (RFC 5802 section 3). */
static char *
scram_server_final(const struct scram *s, const char *server_pass, const struct mech_data *final)
{
	gnutls_datum_t pass = {(unsigned char *)server_pass, (unsigned)strlen(server_pass)};
	gnutls_datum_t salt = {(unsigned char *)"saltsalt", 8};
	uint8_t salted[SCRAM_HASH_SIZE], key[SCRAM_HASH_SIZE], signature[SCRAM_HASH_SIZE];
	char message[1024], *text, *result;
	const char *proof = memmem(final->data, final->len, ",p=", 3);
	size_t size;

	CHECK(proof != NULL);
	CHECK(gnutls_pbkdf2(GNUTLS_MAC_SHA256, &pass, &salt, 4096, salted, sizeof salted) == 0);
	hmac(salted, sizeof salted, "Server Key", 10, key);
	snprintf(message, sizeof message, "%s,%s,%.*s", s->client_first_bare, s->server_first,
		(int)(proof - final->data), final->data);
	hmac(key, sizeof key, message, strlen(message), signature);
	text = base64_encode(signature, sizeof signature);
	size = strlen(text) + 3;
	result = malloc(size);
	snprintf(result, size, "v=%s", text);
	base64_free(text);
	return result;
}

/* pop3 rules 48 and 54: +OK before the server's signature, or with a wrong one, proves nothing. */
static void
test_scram_signature(void)
{
	static const struct {
		const char *server_pass;
		bool is_right;
	} cases[] = {
		{"pencil", true },
		{"pencal", false},
	};

	for (size_t i = 0; i < 2; i++) {
		struct mech_data response;
		struct scram s;
		struct error err;
		char *final;
		int result;

		scram_start(&s);
		snprintf(s.server_first, sizeof s.server_first, "r=%s,s=c2FsdHNhbHQ=,i=4096",
			s.nonce);
		CHECK(step(s.mech, s.server_first, &response, &err) == 0);
		CHECK(memmem(response.data, response.len, "c=biws,r=", 9) == response.data);
		CHECK(!mech_is_done(s.mech));

		final = scram_server_final(&s, cases[i].server_pass, &response);
		result = step(s.mech, final, &response, &err);
		CHECK(mech_is_done(s.mech) == cases[i].is_right);
		CHECK(result == (cases[i].is_right ? 0 : -1));
		if (result != 0) {
			CHECK(err.class == ERROR_AUTH);
			CHECK(strncmp(err.text, "SCRAM-SHA-256: ", 15) == 0);
		}
		free(final);
		mech_free(s.mech);
	}
}

/* pop3 rule 54: the server's part of the nonce comes behind ours, and the iterations are enough. */
static void
test_scram_challenges_refused(void)
{
	static const struct {
		const char *format;
		const char *text;
	} cases[] = {
		{"r=%s,s=c2FsdHNhbHQ=,i=4095",                       "too few"             },
		{"r=%s,s=c2FsdHNhbHQ=,i=1",                          "too few"             },
		{"r=%s,s=c2FsdHNhbHQ=,i=0",                          "too few"             },
		{"r=%s,s=c2FsdHNhbHQ=,i=00001",                      "too few"             },
		{"r=%s,s=c2FsdHNhbHQ=,i=",                           "no number"           },
		{"r=%s,s=c2FsdHNhbHQ=,i=+4096",                      "no number"           },
		{"r=%s,s=c2FsdHNhbHQ=,i=-1",                         "no number"           },
		{"r=%s,s=c2FsdHNhbHQ=,i=65537",                      "more iterations than"},
		{"r=%s,s=c2FsdHNhbHQ=,i=99999999999999999999999999", "more iterations than"},
		{"r=%s,s=c2FsdHNhbHQ=,i=4096,i=1",                   "too few"             },
		{"r=%s,s=c2FsdHNhbHQ=",                              ""                    },
		{"r=x%s,s=c2FsdHNhbHQ=,i=4096",                      ""                    },
		{"r=,s=c2FsdHNhbHQ=,i=4096",                         ""                    },
		{"",						 ""                    },
		{",",						""                    },
		{"e=other-error",				    ""                    },
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		const char *at = strstr(cases[i].format, "%s");
		struct mech_data response;
		struct error err = {.class = ERROR_BUG};
		struct scram s;

		scram_start(&s);
		if (at != NULL)
			snprintf(s.server_first, sizeof s.server_first, "%.*s%s%s",
				(int)(at - cases[i].format), cases[i].format, s.nonce, at + 2);
		else
			snprintf(s.server_first, sizeof s.server_first, "%s", cases[i].format);
		if (!CHECK(step(s.mech, s.server_first, &response, &err) == -1))
			fprintf(stderr, "\taccepted \"%s\"\n", cases[i].format);
		CHECK(err.class == ERROR_AUTH);
		if (!CHECK(strstr(err.text, cases[i].text) != NULL))
			fprintf(stderr, "\t\"%s\" said \"%s\"\n", cases[i].format, err.text);
		CHECK(!mech_is_done(s.mech));
		mech_free(s.mech);
	}
}

/* RFC 5802 section 7: what the client's first message says about binding to the TLS connection. */
static void
test_scram_binding(void)
{
	static const struct tls_binding binding = {
		.type = "tls-exporter", .len = 4, .data = "\x01\x02\0\xff"};
	static const struct {
		const char *mechanism;
		const struct tls_binding *binding;
		const char *header;
		const char *bound; /* base64 of the header and the data */
	} cases[] = {
		{"SCRAM-SHA-256",      NULL,     "n,,n=jane,r=", "c=biws,r="                        },
		{"SCRAM-SHA-256",      &binding, "y,,n=jane,r=", "c=eSws,r="                        },
		{"SCRAM-SHA-1",        &binding, "y,,n=jane,r=", "c=eSws,r="                        },
		{"SCRAM-SHA-256-PLUS", &binding,
                 "p=tls-exporter,,n=jane,r=",                    "c=cD10bHMtZXhwb3J0ZXIsLAECAP8=,r="},
		{"SCRAM-SHA-1-PLUS",   &binding,
                 "p=tls-exporter,,n=jane,r=",                    "c=cD10bHMtZXhwb3J0ZXIsLAECAP8=,r="},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t header_len = strlen(cases[i].header), bound_len = strlen(cases[i].bound);
		struct mech_data data;
		struct mech *mech;
		struct error err;
		char first[256];

		settings.binding = cases[i].binding;
		mech = start(cases[i].mechanism, "jane", "pencil", &data);
		if (!CHECK(data.len > header_len &&
			    memcmp(data.data, cases[i].header, header_len) == 0))
			fprintf(stderr, "\tcase %zu: %.*s\n", i, (int)data.len, data.data);
		snprintf(first, sizeof first, "r=%.*sSERVER,s=c2FsdHNhbHQ=,i=4096",
			(int)(data.len - header_len), data.data + header_len);
		CHECK(step(mech, first, &data, &err) == 0);
		CHECK_BYTES(data.data, data.len < bound_len ? data.len : bound_len, cases[i].bound,
			bound_len);
		mech_free(mech);
	}
	settings.binding = NULL;
}

/* Nothing is said that could be bound to nothing. */
static void
test_binding_needs_data(void)
{
	struct mech_data data;
	struct error err;

	settings.mechanism = "SCRAM-SHA-256-PLUS";
	CHECK(mech_start(&settings, &data, &err) == NULL);
	CHECK(err.class == ERROR_AUTH);
	CHECK_STR(err.text, "SCRAM-SHA-256-PLUS: there is nothing to bind to");
}

/* RFC 4422 appendix A: the certificate has said who we are; the response is there, and empty. */
static void
test_external(void)
{
	struct mech_data data = {0};
	struct mech *mech = start("EXTERNAL", "jane", "", &data);

	CHECK(data.data != NULL && data.len == 0);
	CHECK(mech_is_done(mech));
	mech_free(mech);
}

/* Two attempts at once do not share anything: no nonce comes twice. */
static void
test_nonces_differ(void)
{
	struct scram a, b;

	scram_start(&a);
	scram_start(&b);
	CHECK(strcmp(a.nonce, b.nonce) != 0);
	mech_free(a.mech);
	mech_free(b.mech);
	mech_free(NULL);
}

static bool
wants_one(const char *mechanism, const void *context)
{
	return strcmp(mechanism, context) == 0;
}

/* Only plug-ins that somebody wants are loaded; the library is set up once a process. */
static void
test_wanted_plugins_only(void)
{
	static const struct mech_wants one = {.wants = wants_one, .context = "LOGIN"};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		struct error err;

		_exit(mech_prepare(&one, &err) == 0 && mech_is_available("LOGIN") &&
					!mech_is_available("PLAIN") &&
					!mech_is_available("SCRAM-SHA-1") &&
					!mech_is_available("GSSAPI")
				? 0
				: 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
}

int
main(void)
{
	struct error err;

	test_wanted_plugins_only();
	if (!CHECK(mech_prepare(&mech_all, &err) == 0) ||
		!CHECK(mech_prepare(&mech_all, &err) == 0))
		return check_done();
	test_known_plugins_only();
	test_plain();
	test_authorization();
	test_login();
	test_cram_md5();
	test_failures_on_this_side();
	test_scram_signature();
	test_scram_challenges_refused();
	test_scram_binding();
	test_binding_needs_data();
	test_external();
	test_nonces_differ();
	secret_release(&password);
	return check_done();
}
