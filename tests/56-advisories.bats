#!/usr/bin/env bats
# Mistakes that other mail fetchers had to publish, tried on this one: README, ADVISORIES OF OTHER PROGRAMS.

load helper
load resolver

# certify_names NAME DER-HEX: a certificate NAME.pem that signs itself, for these octets of subjectAltName.
certify_names() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj '/CN=test' \
		-addext "subjectAltName=DER:$2" -keyout "$1.key" -out "$1.pem" >openssl.log 2>&1 || fail "$(cat openssl.log)"
}

# dns_names TEXT…: subjectAltName of these dNSNames, as hex octets; \0 and \xHH are octets.
dns_names() {
	python3 - "$@" <<-'PYTHON'
		import sys
		names = b""
		for text in sys.argv[1:]:
		    name = text.encode().decode("unicode_escape").encode("latin-1")
		    names += bytes([0x82, len(name)]) + name
		print((bytes([0x30, len(names)]) + names).hex(":"))
	PYTHON
}

# named_poll: poll pop.example.org, which is this machine's fakepop.
named_poll() {
	named() {
		RESOLVER=127.0.0.1 with_resolver pophaul -v
	}
	account box 'host = "pop.example.org"' "tls-trust-file = \"$HOME/cert.pem\"" | write_config
	run --separate-stderr named
}

@test "a NUL in a certificate's name does not end it (CVE-2009-2666)" {
	make_resolver
	for names in 'pop.example.org\0.evil.example' 'pop.example.org\0' '\0pop.example.org' 'pop.example.org.' '*.org\0'; do
		certify_names cert "$(dns_names "$names")"
		start_fakepop --tls "$HOME/cert.pem" "$HOME/cert.key" -e 'messages 1'
		named_poll
		assert_status 76
		assert_stderr_has 'certificate'
		assert_equal "$(transcript)" ''
		stop_servers
	done
	# So it is the names that were refused, not how the certificates were made.
	certify_names cert "$(dns_names 'evil\0.example' pop.example.org)"
	start_fakepop --tls "$HOME/cert.pem" "$HOME/cert.key" -e 'messages 1'
	named_poll
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 1
}

@test "octets above 0x7f in a certificate's names are shown as escapes, and nothing overruns (CVE-2010-0562)" {
	make_resolver
	long=$(printf '\\xff%.0s' {1..100})
	certify_names cert "$(dns_names "a$long.example" '\x1b[2J\x07')"
	start_fakepop --tls "$HOME/cert.pem" "$HOME/cert.key" -e 'messages 1'
	named_poll
	assert_status 76
	assert_equal "$(tr -d '\n\040-\176' <<<"$stderr" | wc -c)" 0
}

# stalling_proxy: forwards to PORT; hands on only so many octets of what the server says as the file
# "octets" says then, after that nothing more; its port in PROXY.
stalling_proxy() {
	rm -f proxy.port
	python3 - "$PORT" >proxy.port 2>proxy.log 3>&- <<-'PYTHON' &
		import select, socket, sys
		listener = socket.socket()
		listener.bind(("127.0.0.1", 0))
		listener.listen(5)
		print(listener.getsockname()[1], flush=True)
		while True:
		    client, _ = listener.accept()
		    left = int(open("octets").read())
		    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		    while True:
		        ready, _, _ = select.select([client, server], [], [])
		        try:
		            if client in ready:
		                data = client.recv(65536)
		                if not data:
		                    break
		                server.sendall(data)
		            if server in ready:
		                data = server.recv(65536)
		                client.sendall(data[:left])
		                left -= len(data[:left])
		                if not data:
		                    break
		        except OSError:
		            break
		    client.close()
		    server.close()
	PYTHON
	SERVER_PIDS+=($!)
	wait_until 10 test -s proxy.port
	PROXY=$(<proxy.port)
}

@test "a server that stalls in any step of TLS is given up in time, with implicit TLS and with STLS (CVE-2011-1947)" {
	local octets

	start_fakepop --tls -e 'messages 1' -e 'capa -PIPELINING'
	echo 0 >octets
	stalling_proxy
	for octets in 0 1 5 90 200 700; do
		echo "$octets" >octets
		account box "port = $PROXY" 'connect-timeout = "1s"' 'timeout = "60s"' | write_config
		POPHAUL_LIMIT=30 run --separate-stderr pophaul
		assert_status 69
		assert_stderr_has 'TLS handshake: timed out'
	done
	stop_servers
	start_fakepop --stls -e 'messages 1' -e 'greeting +OK' -e 'capa STLS' -e 'on STLS send +OK; starttls'
	# "+OK", the list of two lines and the second "+OK" are 21 octets or more: what follows is TLS.
	stalling_proxy
	before=$(printf '+OK\r\n+OK\r\nSTLS\r\n.\r\n+OK\r\n' | wc -c)
	for octets in "$((before))" "$((before + 1))" "$((before + 90))" "$((before + 600))"; do
		echo "$octets" >octets
		account box "port = $PROXY" 'connect-timeout = "1s"' 'timeout = "60s"' | write_config
		POPHAUL_LIMIT=30 run --separate-stderr pophaul
		assert_status 69
		[[ $stderr == *'timed out'* ]] || fail "$octets: $stderr"
	done
	run ! grep -q '> \(USER\|AUTH\|PASS\)' "$TRANSCRIPT"
}

@test "headers of a megabyte, thousands of addresses and Received lines are mail (CVE-2001-0819, 2002-1174, 2002-1365)" {
	mkdir folder
	python3 - <<-'PYTHON'
		to = "To: " + ", ".join("a%d@@@b<c@d" % n for n in range(30000)) + "\n"
		open("folder/1", "w").write("Return-Path: <%s@%s>\n" % ("x" * 70000, "y" * 70000) + to + "\nbody\n")
		open("folder/2", "w").write("Received: from %s\n" % ("z" * 200000) * 20 + "\nbody\n")
		open("folder/3", "w").write("Subject: " + "=?utf-8?b?" + "/" * 100000 + "?=" * 3000 + "\n\nbody\n")
		open("folder/4", "w").write("Received: by x\n" * 40000 + "\n")
	PYTHON
	start_fakepop --folder folder
	account box "deliver = \"maildir:$HOME/Maildir\"" | write_config
	run --separate-stderr pophaul -vv
	assert_status 0
	assert_maildir_has folder Maildir
	run --separate-stderr pophaul -lv
	assert_status 0
	account box "deliver = \"mbox:$HOME/mbox\"" | write_config
	rm -r "$STATE"
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(grep -c '^From ' mbox)" 4
	cat >deliver <<-'EOF'
		#!/bin/sh
		printf '%s\n' "$1" >>"$HOME/senders"
		cat >>"$HOME/piped"
	EOF
	chmod +x deliver
	account box "deliver = \"pipe:$HOME/deliver %s\"" | write_config
	rm -r "$STATE"
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(sort -u senders)" MAILER-DAEMON
	cat folder/* | cmp - piped
}

@test "a message without headers, without body, without anything, is mail as well (CVE-2005-4348)" {
	for text in '' '\r\n' '\r\n\r\n' 'no header at all\r\n' ':\r\n' ' folded at once\r\n' 'a\0b: c\r\n'; do
		rm -rf "$STATE" Maildir mbox piped
		serve 'messages 1' "on RETR raw \"+OK\\r\\n$text.\\r\\n\"" "on TOP raw \"+OK\\r\\n$text.\\r\\n\""
		printf '%b' "${text//\\r/}" >wanted
		account box | write_config
		run --separate-stderr pophaul
		assert_status 0
		cmp wanted Maildir/new/*
		run --separate-stderr pophaul -lv
		assert_status 0
		rm -r "$STATE"
		account box "deliver = \"mbox:$HOME/mbox\"" | write_config
		run --separate-stderr pophaul
		assert_status 0
		[ "$(grep -c '^From ' mbox)" -eq 1 ]
		rm -r "$STATE"
		account box "deliver = \"pipe:sh -c 'cat >$HOME/piped'\"" | write_config
		run --separate-stderr pophaul
		assert_status 0
		cmp wanted piped
		stop_servers
	done
}

@test "user names and passwords of thousands of octets go through every mechanism whole (long names in GSSAPI, RPA)" {
	local auth octets user password

	password=$(printf 'p%.0s' {1..1000})
	for auth in PLAIN LOGIN USER CRAM-MD5 SCRAM-SHA-256; do
		for octets in 900 6200 20000; do
			rm -rf "$STATE"
			user=$(printf "%0${octets}d" 7)
			serve 'messages 0' "user $user" "password $password"
			account box "auth = \"$auth\"" "user = \"$user\"" "password = \"$password\"" | write_config
			run --separate-stderr pophaul -vv
			refute_stderr_has ppppp
			# fakepop has no SCRAM; what it or the library of mechanisms finds too long is an error, and no crash.
			case $auth$octets in
			PLAIN900 | LOGIN900 | USER900 | CRAM-MD5900) assert_status 0 ;;
			*) [[ $status =~ ^(0|75|77)$ ]] || fail "$auth $octets: $status $stderr" ;;
			esac
			[ "$auth" != USER ] || transcript | grep -qx "USER $user"
			stop_servers
		done
	done
}

@test "challenges of many kilobytes, and ones with a password's length in them, are cancelled or answered (NTLM, RPA)" {
	challenge=$(head -c 40000 /dev/zero | base64 -w 0)
	for auth in CRAM-MD5 SCRAM-SHA-256 LOGIN; do
		rm -rf "$STATE"
		serve "on AUTH send + $challenge; read; send -ERR no"
		account box "auth = \"$auth\"" | write_config
		run --separate-stderr pophaul -vv
		# Refused here, there, or as an answer that the server did not like.
		[[ $status == 7[567] ]] || fail "$auth: $status $stderr"
		[ "$(wc -L <<<"$stderr")" -lt 3000 ]
		stop_servers
	done
	# Exotic mechanisms are not there or not taken unless named, whatever libraries the machine has.
	serve 'capa "SASL NTLM RPA MSN GSSAPI DIGEST-MD5"' 'capa UIDL'
	account box | write_config
	run --separate-stderr pophaul
	assert_status 77
	assert_equal "$(transcript)" CAPA
	for auth in RPA MSN OTP ANONYMOUS; do
		account box "auth = \"$auth\"" | write_config
		run --separate-stderr pophaul
		assert_status 78
		assert_stderr_has "$auth"
	done
	assert_equal "$(count_sessions)" 1
}

@test "TLS that is demanded cannot be missed by another path: URLs, mechanisms, second connections (CVE-2006-5867, 2021-39272)" {
	make_certs
	serve 'messages 1' 'greeting +OK <1.2@preauth.example>' 'on STLS send -ERR no' 'on CAPA drop'
	for auth in auto PLAIN APOP USER CRAM-MD5; do
		account box 'tls = "starttls"' "auth = \"$auth\"" "tls-trust-file = \"$CA_FILE\"" | write_config
		run --separate-stderr pophaul
		assert_status 76
		assert_stderr_has 'the server refused STLS'
	done
	# The broken CAPA led to second connections: these, too, said nothing but STLS.
	assert_equal "$(sed -n 's/^[0-9]*> //p' "$TRANSCRIPT" | sort | uniq -c | awk '{ print $2, $1 }')" $'CAPA 10\nSTLS 5'
	printf 'machine 127.0.0.1 login jane password secret\n' >.netrc
	chmod 600 .netrc
	run --separate-stderr pophaul --tls starttls --tls-trust-file "$CA_FILE" --deliver "maildir:$HOME/Maildir" \
		--state-dir "$STATE" "pop://jane;AUTH=+APOP@127.0.0.1:$PORT"
	assert_status 76
	run ! grep -q '> \(USER\|PASS\|APOP\|AUTH\)' "$TRANSCRIPT"
}
