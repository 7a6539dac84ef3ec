#!/usr/bin/env bats
# SCRAM that is bound to its TLS connection (-PLUS): against Cyrus SASL's server side (saslpop),
# through somebody in the middle, and where an offer or a kind of binding is missing.

load helper
load saslpop

setup() {
	default_setup
}

# start_proxy [CERT KEY]: TLS ends here, and another one begins to PORT, which becomes the proxy's own. UNLISTED
# is a regular expression of names that it takes out of the server's SASL line.
start_proxy() {
	local ready=$BATS_TEST_TMPDIR/proxy-$((++FAKEPOP_COUNT))

	python3 - "$PORT" "${1:-$CERT_FILE}" "${2:-$KEY_FILE}" "$ready" "${UNLISTED-}" <<-'EOT' >"$ready.log" 2>&1 3>&- &
		import ctypes, os, re, signal, socket, ssl, sys, threading
		ctypes.CDLL(None).prctl(1, signal.SIGTERM)
		port, cert, key, ready, unlisted = sys.argv[1:]
		here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
		here.load_cert_chain(cert, key)
		there = ssl._create_unverified_context()
		listener = socket.create_server(("127.0.0.1", 0))
		with open(ready + ".new", "w") as file:
		    file.write(str(listener.getsockname()[1]))
		os.rename(ready + ".new", ready)
		def pump(source, target, change):
		    try:
		        for line in source.makefile("rb"):
		            target.sendall(change(line))
		        target.shutdown(socket.SHUT_RDWR)
		    except OSError:
		        pass
		def take_out(line):
		    if unlisted and line.startswith(b"SASL "):
		        return re.sub(b" (" + unlisted.encode() + b")(?![^ \r])", b"", line)
		    return line
		while True:
		    connection, _ = listener.accept()
		    client = here.wrap_socket(connection, server_side=True)
		    server = there.wrap_socket(socket.create_connection(("127.0.0.1", int(port))))
		    threads = [threading.Thread(target=pump, args=(client, server, bytes)),
		               threading.Thread(target=pump, args=(server, client, take_out))]
		    for thread in threads:
		        thread.start()
		    for thread in threads:
		        thread.join()
	EOT
	SERVER_PIDS+=($!)
	wait_until 20 test -e "$ready" || fail "$(cat "$ready.log")"
	PORT=$(<"$ready")
}

# fetch [LINE…]: poll an account of these lines that begins anew.
fetch() {
	rm -rf "$STATE" Maildir
	: >"$SASLPOP_LOG"
	account box "$@" | write_config
	run --separate-stderr pophaul
}

# TLS 1.2 whose master secret is not bound to the handshake (RFC 7627): tls-unique could be forged.
readonly WITHOUT_EMS=NORMAL:-VERS-ALL:+VERS-TLS1.2:%NO_SESSION_HASH

@test "auto binds the login to TLS 1.3, TLS 1.2, and TLS 1.2 without the extended master secret" {
	local priority binding

	while read -r priority binding; do
		start_saslpop "priority=$priority" "binding=$binding"
		fetch
		assert_status 0
		assert_equal "$(seen login)" 'jane@localhost SCRAM-SHA-512-PLUS'
		[[ $(seen hello) == "p=$binding,,n=jane,r="* ]] || fail "$(cat "$SASLPOP_LOG")"
		assert_equal "$(count_files Maildir/new)" 1
		stop_servers
	done <<-EOT
		NORMAL:-VERS-ALL:+VERS-TLS1.3 tls-exporter
		NORMAL:-VERS-ALL:+VERS-TLS1.2 tls-unique
		$WITHOUT_EMS tls-server-end-point
	EOT
}

@test "a login is bound to a TLS session that is resumed as to any other" {
	local priority version binding

	while read -r priority version binding; do
		start_saslpop tickets=yes "priority=$priority" "binding=$binding"
		fetch
		assert_status 0
		assert_equal "$(seen tls)" "$version"
		: >"$SASLPOP_LOG"
		poll
		assert_status 0
		assert_equal "$(seen tls)" "$version resumed"
		assert_equal "$(seen login)" 'jane@localhost SCRAM-SHA-512-PLUS'
		[[ $(seen hello) == "p=$binding,,n=jane,r="* ]] || fail "$(cat "$SASLPOP_LOG")"
		stop_servers
	done <<-EOT
		NORMAL:-VERS-ALL:+VERS-TLS1.3 TLS1.3 tls-exporter
		NORMAL:-VERS-ALL:+VERS-TLS1.2 TLS1.2 tls-unique
		$WITHOUT_EMS TLS1.2 tls-server-end-point
	EOT
}

@test "each -PLUS mechanism works by name, and each SCRAM beside it without binding" {
	local auth

	start_saslpop
	for auth in SCRAM-SHA-512 SCRAM-SHA-384 SCRAM-SHA-256 SCRAM-SHA-224 SCRAM-SHA-1; do
		fetch "auth = \"$auth-PLUS\""
		assert_status 0
		assert_equal "$(seen login)" "jane@localhost $auth-PLUS"
		[[ $(seen hello) == p=tls-exporter,,* ]]
		fetch "auth = \"$auth\""
		assert_status 0
		assert_equal "$(seen login)" "jane@localhost $auth"
		[[ $(seen hello) == n,,* ]]
	done
}

@test "whoever ends TLS in the middle, with a certificate that is trusted, gets no login out of it" {
	local auth

	start_saslpop
	make_cert "$BATS_TEST_TMPDIR/other" "$CERT_DIR/ca" 'ip_address = "127.0.0.1"'
	start_proxy "$BATS_TEST_TMPDIR/other.pem" "$BATS_TEST_TMPDIR/other.key"
	for auth in auto SCRAM-SHA-256-PLUS; do
		fetch "auth = \"$auth\""
		assert_status 77
		assert_stderr_has '(the password is wrong, TLS ends at somebody who is not the server, or the server binds to TLS in another way)'
		assert_equal "$(seen login)" ''
		assert_equal "$(seen hello | wc -l)" 1
	done
	# Without binding nobody sees the one in the middle.
	fetch 'auth = "SCRAM-SHA-256"'
	assert_status 0
}

@test "who takes -PLUS out of the list in the middle is found out by SCRAM all the same" {
	start_saslpop 'mechanisms=SCRAM-SHA-256 SCRAM-SHA-1 PLAIN'
	UNLISTED='[^ ]*-PLUS' start_proxy
	fetch
	assert_status 77
	assert_stderr_has 'the server refused the login with SCRAM-SHA-256: '
	assert_equal "$(seen login)" ''
	[[ $(seen hello) == y,,* ]] || fail "$(cat "$SASLPOP_LOG")"
	fetch 'auth = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1" }'
	assert_status 77
	assert_equal "$(seen login)" ''
	# By name of those without binding: for the proxy that is meant to be there.
	fetch 'auth = "SCRAM-SHA-256"'
	assert_status 0
	[[ $(seen hello) == n,,* ]]
}

@test "a server that has no -PLUS is told that the client could have, and lets it in" {
	start_saslpop binding=none
	fetch
	assert_status 0
	assert_equal "$(seen login)" 'jane@localhost SCRAM-SHA-512'
	[[ $(seen hello) == y,,* ]]
}

@test "a server that binds to TLS in another way is told apart from a wrong password, and not asked twice" {
	start_saslpop binding=tls-server-end-point
	fetch
	assert_status 77
	assert_stderr_has 'the server refused the login with SCRAM-SHA-512-PLUS: "[AUTH] authentication failed" (the'
	assert_stderr_has 'or the server binds to TLS in another way)'
	assert_equal "$(seen hello | wc -l)" 1
	fetch 'auth = "SCRAM-SHA-256"'
	assert_status 0
}

@test "-PLUS that is refused before the password was used makes room for SCRAM without binding" {
	local code

	for code in '' '[AUTH] '; do
		rm -rf "$STATE"
		start_fakepop --tls -e 'capa "SASL SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN"' -e 'capa UIDL' \
			-e "on AUTH SCRAM-SHA-256-PLUS send -ERR ${code}tls-exporter is not known here" \
			-e 'on AUTH SCRAM-SHA-256 send -ERR [SYS/TEMP] later'
		account box | write_config
		run --separate-stderr pophaul
		assert_status 75
		[[ $(transcript | sed -n '3s/.* //p' | base64 -d) == n,,* ]] || fail "$(transcript)"
	done
}

@test "Cyrus, which binds to tls-unique only, is not asked for another binding unless it is by name (pop3 rules 22, 54)" {
	local priority wanted

	while read -r priority wanted; do
		start_fakepop --tls -e 'capa "SASL SCRAM-SHA-1-PLUS SCRAM-SHA-1"' -e 'capa IMPLEMENTATION Cyrus POP3 3.6.1' \
			-e 'on AUTH send -ERR [SYS/TEMP] later'
		rm -rf "$STATE"
		account box "$priority" | write_config
		run --separate-stderr pophaul
		assert_status 75
		[[ $(transcript) == *"AUTH $wanted "* ]] || fail "$(transcript)"
	done <<-'EOT'
		password="secret" SCRAM-SHA-1
		auth="SCRAM-SHA-1-PLUS" SCRAM-SHA-1-PLUS
	EOT
}

@test "a wrong password is tried once, and -PLUS says what else it may be" {
	start_saslpop
	fetch 'password = "wrong"'
	assert_status 77
	assert_stderr_has 'the server refused the login with SCRAM-SHA-512-PLUS: "[AUTH] authentication failed" (the password'
	assert_equal "$(seen hello | wc -l)" 1
}

@test "-PLUS without TLS is not tried" {
	serve 'messages 1'
	account box 'auth = "SCRAM-SHA-256-PLUS"' | write_config
	run --separate-stderr pophaul
	assert_status 77
	assert_stderr_has 'SCRAM-SHA-256-PLUS needs TLS, and the connection has none'
	assert_transcript <<<CAPA
}

@test "success before a server of -PLUS has proved itself is a forged one (pop3 rule 48)" {
	start_fakepop --tls -e 'messages 1' -e 'capa "SASL SCRAM-SHA-256-PLUS"' -e 'on AUTH login; send +OK welcome'
	account box | write_config
	run --separate-stderr pophaul
	assert_status 77
	assert_stderr_has 'the server accepted the login before SCRAM-SHA-256-PLUS was complete: it did not prove who it is'
	run ! grep -q UIDL "$TRANSCRIPT"
}

@test "NTLM and DIGEST-MD5 work where they are named, and only there" {
	start_saslpop 'mechanisms=NTLM DIGEST-MD5'
	for auth in NTLM DIGEST-MD5; do
		fetch "auth = \"$auth\""
		assert_status 0
		assert_equal "$(seen login)" "jane@localhost $auth"
		fetch "auth = \"$auth\"" 'password = "wrong"'
		assert_status 77
		assert_stderr_has "the server refused the login with $auth: \"[AUTH]"
	done
	fetch
	assert_status 77
	assert_stderr_has 'no way to log in that both sides know'
}
