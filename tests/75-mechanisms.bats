#!/usr/bin/env bats
# What can go wrong with a mechanism: each its own message, one try of the password, and a status
# that says whether it helps to come back.

load helper
load shim

# refused AUTH ACTIONS STATUS MESSAGE: a login by AUTH with a server that answers it with ACTIONS.
refused() {
	rm -rf "$STATE" Maildir
	serve 'messages 1' "on AUTH $2"
	account box "auth = \"$1\"" | write_config
	run --separate-stderr pophaul -v
	assert_status "$3" || return
	assert_stderr_has "$4" || return
	[ "$(transcript | grep -c '^AUTH\|^USER\|^APOP')" -eq 1 ] || fail "$(transcript)" || return
	! grep -q '> \(UIDL\|STAT\|LIST\)' "$TRANSCRIPT" || fail "$(transcript)" || return
	stop_servers
}

# make_client_cert PREFIX NAME: a certificate of the suite's CA that says who a client is.
make_client_cert() {
	printf '%s\n' "cn = \"$2\"" tls_www_client signing_key 'expiration_days = 11000' >"$1.template"
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$1.key" &&
		run_certtool --generate-certificate --load-privkey "$1.key" --load-ca-certificate "$CA_FILE" \
			--load-ca-privkey "$CERT_DIR/ca.key" --template "$1.template" --outfile "$1.pem"
}

# A SCRAM server's first message.
first() {
	printf 'r=theirs,s=QUJDREVGR0g=,%s' "$1" | base64 -w 0
}

# How the last session ended: with "*", if the exchange was broken off.
cancelled() {
	assert_equal "$(transcript | tail -n 1)" '*'
}

@test "SCRAM with too few rounds, too many, or a number that is none, is broken off" {
	while IFS="|" read -r rounds message; do
		refused SCRAM-SHA-256 "send + ; read; send + $(first "i=$rounds"); read; send -ERR" 77 \
			"SCRAM-SHA-256: the server$message"
		cancelled
	done <<-'EOT'
		4095| asks for 4095 iterations, which is too few to protect the password (RFC 5802: 4096)
		1| asks for 1 iterations, which is too few
		65537| asks for more iterations than Cyrus SASL can do (65536): set auth to PLAIN, over TLS
		99999999999999999999999999| asks for more iterations than Cyrus SASL can do
		4096x|'s iteration count is no number
	EOT
}

@test "a challenge of a megabyte ends the session, not the memory" {
	rm -rf "$STATE"
	serve 'messages 1' 'on AUTH raw "+ "; flood 1048576 QUFB; raw "\r\n"; read; send -ERR'
	account box 'auth = "CRAM-MD5"' | write_config
	run --separate-stderr pophaul_measured
	assert_status 76
	assert_stderr_has 'waiting for the reply to AUTH CRAM-MD5: '
	assert_memory_below 40
}

@test "broken base64 and success in the place of a challenge have messages of their own" {
	refused CRAM-MD5 'send + PDE4=TYu; read; send -ERR' 76 \
		"challenge of CRAM-MD5: the server's challenge is not valid base64"
	cancelled
	for auth in LOGIN CRAM-MD5 DIGEST-MD5 SCRAM-SHA-1 SCRAM-SHA-512; do
		refused "$auth" 'send +OK come in' 77 \
			"the server accepted the login before $auth was complete: it did not prove who it is"
	done
}

@test "a mechanism that the server does not know, and a password that it does not, are told apart" {
	refused DIGEST-MD5 'send -ERR Unknown authentication mechanism' 77 \
		'the server refused the login with DIGEST-MD5: "Unknown authentication mechanism"'
	refused CRAM-MD5 'send + PDFAYT4=; read; send -ERR [AUTH] Wrong' 77 \
		'the server refused the login with CRAM-MD5: "[AUTH] Wrong"'
	# Without [AUTH] from a server that has it, it is the server's trouble.
	refused CRAM-MD5 'send + PDFAYT4=; read; send -ERR no data base' 75 \
		'the server refused the login with CRAM-MD5: "no data base"'
	refused CRAM-MD5 'send + PDFAYT4=; read; send -ERR [SYS/TEMP] later' 75 '"[SYS/TEMP] later"'
	refused CRAM-MD5 'send + PDFAYT4=; read; send -ERR [IN-USE] later' 75 '"[IN-USE] later"'
	refused CRAM-MD5 'send + PDFAYT4=; read; send -ERR [SYS/PERM] never' 69 '"[SYS/PERM] never"'
}

@test "DIGEST-MD5 needs a server that knows the password, too (pop3 rule 48)" {
	challenge=$(printf 'realm="x",nonce="abc",qop="auth",charset=utf-8,algorithm=md5-sess' | base64 -w 0)
	refused DIGEST-MD5 "send + $challenge; read; send +OK" 77 'before DIGEST-MD5 was complete'
	refused DIGEST-MD5 "send + $challenge; read; send + $(printf 'rspauth=0' | base64); read; send +OK" 77 'DIGEST-MD5: '
	cancelled
}

@test "mechanisms that rest on TLS are not tried without it, nor a certificate that there is not" {
	while read -r auth message; do
		rm -rf "$STATE"
		serve 'messages 1'
		account box "auth = \"$auth\"" | write_config
		run --separate-stderr pophaul
		assert_status 77
		assert_stderr_has "$message"
		assert_transcript <<<CAPA
	done <<-'EOT'
		SCRAM-SHA-1-PLUS SCRAM-SHA-1-PLUS needs TLS, and the connection has none
		EXTERNAL EXTERNAL needs TLS, and the connection has none
	EOT
	start_fakepop --tls -e 'messages 1' -e 'capa "SASL EXTERNAL"'
	account box 'auth = "EXTERNAL"' 'password =' | write_config
	run --separate-stderr pophaul
	assert_status 77
	assert_stderr_has 'EXTERNAL needs a client certificate, and the account has none'
	assert_transcript <<<CAPA
}

@test "no name server is asked for this machine's own name in a login" {
	make_shim
	# The program lets nobody but root see what it connects to.
	SHIM_HOST=nobody-knows-it with_shim strace -f -o calls -e trace=connect,openat "$BUILD/tests/unit/sasl_test"
	grep -q '"/etc/hosts"' calls
	run ! grep -q 'htons(53)' calls
}

@test "a client certificate logs in to Dovecot by EXTERNAL, without a password, by name and by itself" {
	make_certs
	make_client_cert jane jane
	make_client_cert nobody nobody
	# Where Dovecot's own users can read it.
	certain=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-certain.XXXXXX")
	SERVER_DIRS+=("$certain")
	chmod 711 "$certain"
	echo 'jane:::::::nopassword' >"$certain/users"
	chmod 644 "$certain/users"
	start_dovecot 'auth_mechanisms = external plain' "ssl_ca = <$CA_FILE" 'ssl_verify_client_cert = yes' \
		'ssl_require_crl = no' 'auth_ssl_username_from_cert = yes' 'ssl_cert_username_field = commonName' \
		'passdb {' 'driver = passwd-file' 'mechanisms = external' "args = scheme=PLAIN $certain/users" '}'
	mkdir folder
	printf 'Subject: hello\n\nHello.\n' >folder/1.eml
	put_messages folder jane
	poll_with() {
		rm -rf "$STATE" Maildir
		account box 'password =' "$@" | write_config
		run --separate-stderr pophaul -vv
	}
	for auth in '"EXTERNAL"' '{ "EXTERNAL", "PLAIN" }' '"auto"'; do
		# What asks for a password without a terminal fails.
		[ "$auth" = '"EXTERNAL"' ] || set -- 'password = "wrong"'
		poll_with "$@" "auth = $auth" "tls-cert = \"$HOME/jane.pem\"" "tls-key = \"$HOME/jane.key\""
		assert_status 0
		wait_until 20 let_in_is 'jane EXTERNAL'
		assert_equal "$(count_files Maildir/new)" 1
		assert_stderr_has '> AUTH EXTERNAL ****'
	done
	# Dovecot would let it in if it knew the name.
	poll_with 'auth = "EXTERNAL"' "tls-cert = \"$HOME/nobody.pem\"" "tls-key = \"$HOME/nobody.key\""
	assert_status 77
	assert_stderr_has 'the server refused the login with EXTERNAL: "[AUTH]'
}

@test "EXTERNAL sends an empty response, at once or when it is asked for (pop3 rules 42, 46)" {
	make_certs
	make_client_cert jane jane
	for listed in 'capa "SASL EXTERNAL"' 'capa -SASL'; do
		start_fakepop --tls -e 'messages 1' -e "$listed" -e 'on /^AUTH EXTERNAL =$/ login; send +OK' \
			-e 'on /^AUTH EXTERNAL$/ send + ; expect /^$/; login; send +OK'
		rm -rf "$STATE"
		account box 'auth = "EXTERNAL"' 'password =' "tls-cert = \"$HOME/jane.pem\"" \
			"tls-key = \"$HOME/jane.key\"" | write_config
		run --separate-stderr pophaul
		assert_status 0
	done
	transcript | grep -qx 'AUTH EXTERNAL'
	assert_equal "$(transcript | sed -n 3p)" ''
}
