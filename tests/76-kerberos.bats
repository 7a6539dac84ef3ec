#!/usr/bin/env bats
# Logging in with Kerberos: a key server of MIT's, and a Dovecot or Cyrus SASL that takes its tickets.

load helper
load kerberos
load saslpop

setup() {
	default_setup
	HOST=localhost
	start_kdc
}

# fetch [LINE…]: poll an account of these lines that begins anew.
fetch() {
	rm -rf "$STATE" Maildir
	account box "$@" | write_config
	run --separate-stderr pophaul
}

one_message() {
	mkdir folder
	printf 'Subject: hello\n\nHello.\n' >folder/1.eml
	put_messages folder jane
}

# What no ticket means, whatever Kerberos calls it.
readonly NO_TICKET='GSSAPI: no Kerberos ticket (kinit gets one, or a keytab in KRB5_CLIENT_KTNAME): '

@test "a ticket in the cache logs in to Dovecot by GSSAPI, without a password" {
	start_dovecot_with_kerberos
	one_message
	ticket jane
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 0
	wait_until 20 let_in_is 'jane GSSAPI'
	assert_equal "$(count_files Maildir/new)" 1
	# A password that may be needed is asked for; it is not used where the ticket will do.
	fetch 'auth = { "GSSAPI", "PLAIN" }' 'password ='
	assert_status 78
	assert_stderr_has 'there is no password for jane at localhost, and no terminal to ask for it'
	fetch 'auth = { "GSSAPI", "PLAIN" }' 'password = "wrong"'
	assert_status 0
	# Kerberos does not hang on TLS.
	fetch 'auth = "GSSAPI"' 'password =' 'tls = "none"'
	assert_status 0
	wait_until 20 let_in_is 'jane GSSAPI'
	# Two programs' ideas of one name; the manual says so.
	fetch 'auth = "GSS-SPNEGO"' 'password ='
	assert_status 77
	assert_stderr_has 'GSS-SPNEGO: not what Kerberos expects of a server: '
}

@test "a keytab of the client's gets its own tickets, in the cache or beside it" {
	start_dovecot_with_kerberos
	one_message
	export KRB5_CLIENT_KTNAME=FILE:$KRB_DIR/jane.keytab
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 0
	wait_until 20 let_in_is 'jane GSSAPI'
	klist -s
	KRB5CCNAME=MEMORY: fetch 'auth = "GSSAPI"' 'password ='
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
}

@test "without a ticket nothing is sent, and it is said what to do" {
	start_dovecot_with_kerberos
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 77
	assert_stderr_has "${NO_TICKET}No Kerberos credentials available (default cache: FILE:$KRB_DIR/client/tickets)"
	logged() { grep -q 'no auth attempts' <(tail -n 1 "$DOVECOT_DIR/log"); }
	wait_until 10 logged
	# What is named behind it is tried.
	fetch 'auth = { "GSSAPI", "PLAIN" }' 'password = "secret"'
	assert_status 0
	wait_until 20 let_in_is 'jane PLAIN'
}

@test "a ticket whose time is over is one that is not there" {
	serve 'messages 1' 'capa "SASL GSSAPI"'
	ticket jane
	rm -rf "$STATE"
	account box 'password =' 'auth = "GSSAPI"' | write_config
	run --separate-stderr later +3d pophaul
	assert_status 77
	assert_stderr_has "$NO_TICKET"
	assert_stderr_has 'xpired'
	assert_transcript <<<CAPA
}

@test "a host that the key server does not know, and a key server that is gone, are said" {
	serve 'messages 1' 'capa "SASL GSSAPI"'
	ticket jane
	HOST=127.0.0.1 fetch 'auth = "GSSAPI"' 'password ='
	assert_status 77
	assert_stderr_has "$NO_TICKET"
	assert_stderr_has 'Server pop/127.0.0.1@EXAMPLE.ORG not found in Kerberos database'
	kill "$KDC_PID"
	wait "$KDC_PID" || :
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 77
	assert_stderr_has "${NO_TICKET}Cannot contact any KDC for realm 'EXAMPLE.ORG'"
	assert_transcript <<<CAPA
	assert_transcript 2 <<<CAPA
}

@test "a ticket that the server refuses is the end of the session" {
	start_dovecot_with_kerberos
	# A new key, which the server has not been given.
	kadmin.local -r EXAMPLE.ORG ktadd -k "$KRB_DIR/new.keytab" pop/localhost >>"$KRB_DIR/log" 2>&1
	ticket jane
	fetch 'auth = { "GSSAPI", "PLAIN" }'
	assert_status 77
	assert_stderr_has 'the server refused the login with GSSAPI: "[AUTH]'
	assert_equal "$(let_in)" ''
}

@test "a server that does not answer with Kerberos, or says yes without it, is not believed (pop3 rule 48)" {
	ticket jane
	serve 'messages 1' 'capa "SASL GSSAPI"' 'on AUTH login; send +OK welcome'
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 77
	assert_stderr_has 'the server accepted the login before GSSAPI was complete: it did not prove who it is'
	run ! grep -q UIDL "$TRANSCRIPT"
	serve 'messages 1' 'capa "SASL GSSAPI"' "on AUTH send + ; read; send + $(printf 'not a token' | base64); read; send -ERR"
	fetch 'auth = "GSSAPI"' 'password ='
	assert_status 77
	assert_stderr_has 'GSSAPI: not what Kerberos expects of a server: '
	assert_equal "$(transcript | tail -n 1)" '*'
}

@test "GSSAPI, GS2-KRB5 and GSS-SPNEGO log in to Cyrus SASL, and want no layer of it" {
	export KRB5_KTNAME=FILE:$KRB_DIR/server.keytab KRB5RCACHENAME=none:
	start_saslpop layer=yes
	ticket jane
	for auth in GSSAPI GS2-KRB5 GSS-SPNEGO DIGEST-MD5; do
		: >"$SASLPOP_LOG"
		fetch "auth = \"$auth\"" 'password = "secret"'
		assert_status 0
		[[ $(seen login) == jane*" $auth" ]] || fail "$(cat "$SASLPOP_LOG")"
		assert_equal "$(seen layer)" 0
		assert_equal "$(count_files Maildir/new)" 1
	done
}
