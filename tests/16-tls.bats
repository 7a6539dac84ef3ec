#!/usr/bin/env bats
# TLS: from the first octet and by STLS, and whom it lets in.

load helper
load resolver

# fetch [LINE…]: poll an account of these lines, "box"; OPTIONS are the program's.
fetch() {
	account box "$@" | write_config
	run --separate-stderr pophaul "${OPTIONS[@]}"
}

# fetch_from NAME: as fetch, from the server under a name in example.org.
fetch_from() {
	make_resolver
	account box "host = \"$1\"" | write_config
	RESOLVER=127.0.0.1 run --separate-stderr with_resolver pophaul
}

delivered() {
	count_files "$HOME/Maildir/new"
}

# certify NAME TEMPLATE-LINE…: a certificate from the suite's CA, NAME.pem and NAME.key in the home folder.
certify() {
	local name=$1 ca

	shift
	make_certs
	ca=$CERT_DIR/ca
	CERT_DIR=$HOME make_cert "$HOME/$name" "$ca" "$@"
}

# serve_as NAME [OPTION…]: fakepop through TLS with the certificate NAME.
serve_as() {
	local name=$1

	shift
	start_fakepop --tls "$HOME/$name.pem" "$HOME/$name.key" -e 'messages 1' "$@"
}

# The server got nothing but these lines, in clear or not.
assert_server_got() {
	assert_equal "$(sed -n 's/^[0-9]*> //p' "$TRANSCRIPT")" "$1"
}

# The server in clear got the beginning of TLS and no command.
assert_nothing_readable() {
	grep -q '^1> \\x16\\x03' "$TRANSCRIPT"
	run ! grep -q 'CAPA\|STLS\|AUTH\|USER\|PASS\|QUIT' "$TRANSCRIPT"
}

setup() {
	default_setup
	OPTIONS=()
}

# ---- servers that are what they should be ----

@test "mail comes from fakepop through implicit TLS and STLS" {
	corpus folder
	for tls in --tls --stls; do
		rm -rf "$STATE" Maildir
		start_fakepop --folder folder "$tls"
		fetch
		assert_status 0
		assert_maildir_has folder Maildir
		assert_equal "$(grep -c '^1\* tls TLS1.3' "$TRANSCRIPT")" 1
		stop_servers
	done
}

@test "mail comes from Dovecot through implicit TLS and STLS" {
	corpus folder
	start_dovecot
	put_messages folder jane
	fetch
	assert_status 0
	assert_maildir_has folder Maildir
	rm -rf "$STATE" Maildir
	fetch 'tls = "implicit"' "port = $PORTS"
	assert_status 0
	assert_maildir_has folder Maildir
	wait_until 10 grep -q 'Login: .*TLS' "$DOVECOT_DIR/log"
	run ! grep -q 'Login: .*secured' "$DOVECOT_DIR/log"
}

@test "TLS is there before anything but CAPA and STLS is sent, and CAPA is asked again (pop3 rules 36, 38, 39)" {
	start_fakepop --stls -e 'messages 1' -e 'once on CAPA send +OK; send STLS; send UTF8; send SASL LOGIN; send .'
	fetch
	assert_status 0
	assert_equal "$(head -n 7 "$TRANSCRIPT" | sed 's/ TLS1.3.*/ TLS1.3/')" '1* connect
1> CAPA
1> STLS
1* tls TLS1.3
1> CAPA
1> AUTH PLAIN AGphbmUAc2VjcmV0
1> CAPA'
	start_fakepop --tls -e 'messages 1' -e 'capa +STLS'
	fetch 'keep = "never"'
	assert_status 0
	run ! grep -q STLS "$TRANSCRIPT"
}

@test "TLS 1.2 is good enough, and -v says what was agreed on (pop3 rule 43)" {
	start_fakepop --tls -e 'messages 1' -e 'tls-priority NORMAL:-VERS-ALL:+VERS-TLS1.2'
	OPTIONS=(-v)
	fetch
	assert_status 0
	assert_stderr_has 'logged in with PLAIN, TLS1.2 '
}

@test "TLS 1.1 is not (pop3 rule 43)" {
	for tls in --tls --stls; do
		start_fakepop "$tls" -e 'messages 1' -e 'tls-priority NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%COMPAT'
		fetch
		assert_status 76
		assert_stderr_has 'the server has neither TLS 1.2 nor TLS 1.3; older versions are not safe'
		run ! grep -q 'AUTH\|PASS' "$TRANSCRIPT"
	done
}

@test "TLS is implicit unless the account says otherwise (pop3 rule 35)" {
	start_fakepop --tls -e 'messages 1'
	fetch 'tls ='
	assert_status 0
	start_fakepop -e 'messages 1'
	fetch 'tls =' "tls-trust-file = \"$CA_FILE\""
	assert_status 76
	assert_nothing_readable
}

@test "--tls and --tls-trust-file stand above the configuration" {
	start_fakepop --stls -e 'messages 1'
	OPTIONS=(--tls starttls --tls-trust-file "$CA_FILE")
	fetch 'tls = "implicit"' 'tls-trust-file ='
	assert_status 0
	OPTIONS=(--tls none)
	fetch
	assert_status 0
	run ! grep -q '^2\* tls' "$TRANSCRIPT"
	run ! grep -q '^2> STLS' "$TRANSCRIPT"
}

# ---- STLS ----

@test "STLS that is not announced is asked for all the same (pop3 rule 36)" {
	start_fakepop --stls -e 'messages 1' -e 'capa -STLS'
	fetch
	assert_status 0
	assert_equal "$(delivered)" 1
	transcript_events | grep -q '^tls '
}

@test "STLS that is refused or missing ends the session before anything secret (pop3 rule 36)" {
	for script in 'capa -NONE' 'capa none' 'on STLS send -ERR not now'; do
		start_fakepop -e 'messages 1' -e "$script"
		make_certs
		SERVER_TLS=starttls
		fetch
		assert_status 76
		assert_stderr_has 'the server refused STLS: "'
		assert_server_got $'CAPA\nSTLS'
	done
	start_fakepop -e 'on STLS send -ERR [SYS/TEMP] busy'
	SERVER_TLS=starttls
	fetch
	assert_status 75
	assert_server_got $'CAPA\nSTLS'
}

@test "octets behind the answer to STLS are not taken for the server's (pop3 rule 37)" {
	for script in 'on STLS raw "+OK\r\n+OK injected\r\n"; starttls' 'on STLS raw "+OK\r\n+"; starttls' \
		'on STLS raw "+OK begin\r\n\x00"; starttls'; do
		start_fakepop --stls -e 'messages 1' -e "$script"
		fetch
		assert_status 76
		assert_stderr_has 'octets in clear came behind the answer to STLS: somebody may be tampering with the connection'
		assert_server_got $'CAPA\nSTLS'
	done
}

@test "a server that goes on in clear after it agreed to STLS is said" {
	start_fakepop -e 'on STLS send +OK; wait 50; send +OK ready'
	make_certs
	SERVER_TLS=starttls
	fetch
	assert_status 76
	assert_stderr_has 'the server sent POP3 in clear after it agreed to STLS'
	run ! grep -q 'AUTH\|PASS' "$TRANSCRIPT"
}

@test "a server that hangs up in the handshake is said" {
	start_fakepop -e drop
	make_certs
	SERVER_TLS=implicit
	fetch
	assert_status 69
	assert_stderr_has 'the server closed the connection during the TLS handshake'
	start_fakepop -e 'on STLS send +OK; drop'
	SERVER_TLS=starttls
	fetch
	assert_status 69
	assert_stderr_has 'the server closed the connection during the TLS handshake'
}

# ---- the wrong port ----

@test "POP3 in clear on the port for TLS is recognised" {
	start_fakepop -e 'messages 1'
	make_certs
	SERVER_TLS=implicit
	fetch
	assert_status 76
	assert_stderr_has 'the server speaks POP3 in clear on this port: use tls = "starttls", or its port for TLS (995)'
	assert_nothing_readable
	start_fakepop -e 'greeting -ERR too many connections'
	SERVER_TLS=implicit
	fetch
	assert_status 76
	assert_stderr_has 'the server speaks POP3 in clear on this port'
}

@test "TLS on the port for POP3 in clear is guessed from the server's silence" {
	start_fakepop --tls -e 'messages 1'
	for tls in none starttls; do
		fetch "tls = \"$tls\"" 'timeout = "1s"'
		assert_status 69
		assert_stderr_has 'waiting for the greeting: the server says nothing (if this is its port for TLS, use tls = "implicit")'
	done
}

# ---- certificates ----

@test "an authority that only the system would have to know is not known (pop3 rule 40)" {
	for tls in --tls --stls; do
		start_fakepop "$tls" -e 'messages 1'
		fetch 'tls-trust-file ='
		assert_status 76
		assert_stderr_has 'tls-trust-file'
		run ! grep -q 'AUTH\|PASS' "$TRANSCRIPT"
	done
	[[ $stderr == *"the server's certificate is refused: its issuer is unknown: 'CN=pophaul test CA'"* ]] ||
		assert_stderr_has 'the system has no trusted certificates'
}

@test "an authority that tls-trust-file does not hold is not known (pop3 rule 40)" {
	make_certs
	CERT_DIR=$HOME make_ca "$HOME/other"
	start_fakepop --tls -e 'messages 1'
	fetch "tls-trust-file = \"$HOME/other.pem\""
	assert_status 76
	assert_stderr_has "the server's certificate is refused: its issuer is unknown: 'CN=pophaul test CA', which is not in tls-trust-file '$HOME/other.pem'"
	assert_server_got ''
	cat "$CA_FILE" >>other.pem
	fetch "tls-trust-file = \"$HOME/other.pem\""
	assert_status 0
}

@test "a certificate that signs itself is refused, and accepted where it is trusted" {
	CERT_DIR=$HOME
	printf '%s\n' 'cn = "alone"' 'dns_name = "localhost"' 'ip_address = "127.0.0.1"' tls_www_server signing_key \
		'expiration_days = 11000' >alone.template
	run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile alone.key
	run_certtool --generate-self-signed --load-privkey alone.key --template alone.template --outfile alone.pem
	make_certs
	serve_as alone
	fetch
	assert_status 76
	assert_stderr_has "it is signed by itself: 'CN=alone'"
	assert_server_got ''
	fetch "tls-trust-file = \"$HOME/alone.pem\""
	assert_status 0
}

@test "a chain with an intermediate authority is followed when the server sends it" {
	make_certs
	printf '%s\n' 'cn = "between"' ca cert_signing_key 'expiration_days = 11000' >between.template
	(
		ca=$CERT_DIR/ca
		CERT_DIR=$HOME
		run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile between.key
		run_certtool --generate-certificate --load-privkey between.key --load-ca-certificate "$ca.pem" \
			--load-ca-privkey "$ca.key" --template between.template --outfile between.pem
		make_cert "$HOME/leaf" "$HOME/between" 'ip_address = "127.0.0.1"'
	)
	serve_as leaf
	fetch
	assert_status 76
	assert_stderr_has "its issuer is unknown: 'CN=between'"
	cat between.pem >>leaf.pem
	serve_as leaf
	fetch
	assert_status 0
}

@test "a certificate out of its time is refused (pop3 rule 40)" {
	certify old 'ip_address = "127.0.0.1"' 'activation_date = "2020-01-01 00:00:00 UTC"' 'expiration_date = "2021-02-03 00:00:00 UTC"'
	serve_as old
	fetch
	assert_status 76
	assert_stderr_has "the server's certificate is refused: it expired on 2021-02-03"
	assert_server_got ''
	certify early 'ip_address = "127.0.0.1"' 'activation_date = "2090-01-02 00:00:00 UTC"' 'expiration_date = "2091-01-01 00:00:00 UTC"'
	serve_as early
	fetch
	assert_status 76
	assert_stderr_has 'it is valid only from 2090-01-02 (is the clock of this machine right?)'
	assert_server_got ''
}

@test "a certificate for another host is refused, also by STLS (pop3 rule 40)" {
	certify wrong 'dns_name = "pop.example.org"' 'dns_name = "mail.example.org"' 'ip_address = "192.0.2.1"'
	serve_as wrong
	fetch_from other.example.org
	assert_status 76
	assert_stderr_has "it is for 'pop.example.org', 'mail.example.org', '192.0.2.1', not for 'other.example.org'"
	assert_server_got ''
	fetch
	assert_status 76
	assert_stderr_has "not for '127.0.0.1'"
	start_fakepop --stls wrong.pem wrong.key -e 'messages 1'
	fetch
	assert_status 76
	assert_server_got $'CAPA\nSTLS'
}

@test "several things wrong with a certificate are all said" {
	certify worst 'dns_name = "pop.example.org"' 'activation_date = "2020-01-01 00:00:00 UTC"' 'expiration_date = "2021-02-03 00:00:00 UTC"'
	serve_as worst
	fetch
	assert_status 76
	assert_stderr_has "it is for 'pop.example.org', not for '127.0.0.1'; it expired on 2021-02-03"
}

@test "an address is compared with the addresses of a certificate, not with its names (pop3 rule 40)" {
	certify address 'ip_address = "127.0.0.1"'
	serve_as address
	fetch
	assert_status 0
	certify name 'dns_name = "127.0.0.1"'
	serve_as name
	fetch
	assert_status 76
	certify six 'ip_address = "::1"'
	serve_as six --listen6
	fetch 'host = "[::1]"'
	assert_status 0
	fetch 'host = "0:0:0:0:0:0:0:1"'
	assert_status 0
}

@test "the common name of a certificate counts for nothing (pop3 rule 40)" {
	make_certs
	printf '%s\n' 'cn = "pop.example.org"' tls_www_server signing_key 'expiration_days = 11000' >common.template
	(
		ca=$CERT_DIR/ca
		CERT_DIR=$HOME
		run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile common.key
		run_certtool --generate-certificate --load-privkey common.key --load-ca-certificate "$ca.pem" \
			--load-ca-privkey "$ca.key" --template common.template --outfile common.pem
	)
	serve_as common
	fetch_from pop.example.org
	assert_status 76
	assert_stderr_has "it is for no host at all (its common name 'pop.example.org' counts for nothing, only subjectAltName does), not for 'pop.example.org'"
	assert_server_got ''
}

@test "a star in a certificate stands for one label, the first (pop3 rule 40)" {
	certify star 'dns_name = "*.example.org"'
	serve_as star
	fetch_from pop.example.org
	assert_status 0
	fetch_from a.pop.example.org
	assert_status 76
	certify part 'dns_name = "p*.example.org"'
	serve_as part
	fetch_from pop.example.org
	assert_status 76
	certify inner 'dns_name = "pop.*.example.org"'
	serve_as inner
	fetch_from pop.a.example.org
	assert_status 76
	certify tame 'dns_name = "pop.example.org"'
	serve_as tame
	fetch_from POP.Example.org
	[ "$status" -ne 0 ] || assert_equal "$(delivered)" 1
}

@test "a certificate that is not for a server, or whose key is weak, is refused" {
	make_certs
	(
		ca=$CERT_DIR/ca
		CERT_DIR=$HOME
		printf '%s\n' 'cn = x' 'ip_address = "127.0.0.1"' tls_www_client signing_key 'expiration_days = 11000' >client.template
		printf '%s\n' 'cn = x' 'ip_address = "127.0.0.1"' tls_www_server signing_key encryption_key \
			'expiration_days = 11000' >weak.template
		run_certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile client.key
		run_certtool --generate-privkey --key-type rsa --bits 1024 --outfile weak.key
		for name in client weak; do
			run_certtool --generate-certificate --load-privkey "$name.key" --load-ca-certificate "$ca.pem" \
				--load-ca-privkey "$ca.key" --template "$name.template" --outfile "$name.pem"
		done
	)
	serve_as client
	fetch
	assert_status 76
	assert_stderr_has 'it is not made for a TLS server'
	serve_as weak
	fetch
	assert_status 76
	assert_server_got ''
}

@test "a tls-trust-file that is missing or holds no certificate is an error of the configuration" {
	start_fakepop --tls -e 'messages 1'
	fetch "tls-trust-file = \"$HOME/none.pem\""
	assert_status 78
	assert_stderr_has "tls-trust-file '$HOME/none.pem' cannot be read: No such file or directory"
	echo 'not a certificate' >text.pem
	fetch "tls-trust-file = \"$HOME/text.pem\""
	assert_status 78
	assert_stderr_has "tls-trust-file '$HOME/text.pem' holds no certificate in PEM format"
	: >empty.pem
	fetch "tls-trust-file = \"$HOME/empty.pem\""
	assert_status 78
	fetch "tls-trust-file = \"$HOME\""
	assert_status 78
	assert_server_got ''
}

# ---- the end ----

@test "a connection cut without close_notify is an error inside the session, and none behind QUIT (pop3 rule 43)" {
	start_fakepop --tls -e 'messages 2' -e 'once on RETR 2 cut 300'
	fetch
	assert_status 69
	assert_stderr_has 'in the middle of message 2: the server closed the connection without TLS close_notify'
	assert_equal "$(delivered)" 1
	start_fakepop --tls -e 'messages 2' -e 'on QUIT commit; send +OK; drop'
	fetch 'keep = "never"'
	assert_status 0
	assert_equal "$(delivered)" 2
	start_fakepop --tls -e 'messages 2' -e 'on UIDL bye'
	fetch
	assert_status 69
	assert_stderr_has 'the server closed the connection'
	refute_stderr_has close_notify
}

@test "SSLKEYLOGFILE is not obeyed, and with -vv by the fetcher alone, which says so" {
	local option

	# Beside it, the server's own view of the keys.
	SSLKEYLOGFILE=$HOME/theirs start_fakepop --tls -e 'messages 1'
	export SSLKEYLOGFILE=$HOME/keys
	for option in '' -v; do
		rm -rf "$STATE"
		OPTIONS=(${option:+"$option"})
		fetch "deliver = \"pipe:sh -c 'env >$HOME/environment; cat >/dev/null'\""
		assert_status 0
		refute_stderr_has SSLKEYLOGFILE
		[ ! -e keys ]
		[ -s environment ]
		run ! grep -q '^SSLKEYLOGFILE=' environment
	done
	rm -rf "$STATE" environment
	OPTIONS=(-vv)
	fetch "deliver = \"pipe:sh -c 'env >$HOME/environment; cat >/dev/null'\""
	assert_status 0
	assert_stderr_has "SSLKEYLOGFILE: the keys of this session go to '$HOME/keys', and with them all that is said in it, the password too"
	assert_equal "$(stat -c %a keys)" 600
	run ! grep -q '^SSLKEYLOGFILE=' environment
	grep -q '^CLIENT_TRAFFIC_SECRET_0 ' keys
	# Whoever has the file has the keys that the server has.
	assert_equal "$(grep -Fxcf theirs keys)" "$(wc -l <keys)"
	# One more session is appended.
	count=$(wc -l <keys)
	fetch
	assert_equal "$(wc -l <keys)" $((2 * count))
}

@test "a file for TLS keys that is a link, another thing or open to others is not written, and that is told" {
	start_fakepop --tls -e 'messages 1'
	touch elsewhere
	chmod 600 elsewhere
	ln -s elsewhere link
	install -m 640 /dev/null shared
	mkfifo -m 600 fifo
	OPTIONS=(-vv)
	for name in link shared fifo . none/keys; do
		SSLKEYLOGFILE=$HOME/$name fetch
		assert_status 0
		assert_stderr_has "SSLKEYLOGFILE: no keys are written, '$HOME/$name' cannot be used: "
	done
	[ ! -s elsewhere ] && [ ! -s shared ]
}
