#!/usr/bin/env bats
# The ground the other tests stand on: the bundled server, the sample messages and
# Dovecot, all seen through Python's poplib and openssl, which are not ours.

load helper

# pop PYTHON-LINE…: with `c`, a poplib client on PORT that is logged in as jane.
pop() {
	POP_TLS=${POP_TLS-$SERVER_TLS} timeout -k 5 30 python3 - "$PORT" "$@" <<-'EOF'
		import os, poplib, ssl, sys, hashlib, socket
		poplib._MAXLINE = 1 << 20
		port, lines = int(sys.argv[1]), sys.argv[2:]
		tls = os.environ["POP_TLS"]
		context = None
		if tls != "none":
		    context = ssl.create_default_context(cafile=os.environ["CA"])
		def connect(host="127.0.0.1"):
		    if tls == "implicit":
		        return poplib.POP3_SSL(host, port, context=context, timeout=20)
		    c = poplib.POP3(host, port, timeout=20)
		    if tls == "starttls":
		        c.stls(context=context)
		    return c
		def login(c):
		    c.user("jane")
		    c.pass_("secret")
		    return c
		def refused(function, *args):
		    try:
		        function(*args)
		    except poplib.error_proto as error:
		        text = error.args[0]
		        return text.decode() if isinstance(text, bytes) else text
		    raise SystemExit("not refused")
		exec("\n".join(lines))
	EOF
}

# The digest of each message, as folder_digests says it, through poplib.
pop_digests() {
	pop 'c = login(connect())' \
		'n = len(c.list()[1])' \
		'for i in range(1, n + 1): print(hashlib.sha256(b"".join(l + b"\n" for l in c.retr(i)[1])).hexdigest())' \
		'c.quit()' | sort
}

setup() {
	default_setup
	make_certs
	export CA=$CA_FILE
}

@test "fakepop hands out a folder octet by octet, dots stuffed, in clear" {
	corpus folder
	start_fakepop --folder folder
	assert_equal "$(pop_digests)" "$(folder_digests folder)"
	[ "$(count_files folder)" -eq 25 ]
}

@test "fakepop hands out a folder through TLS from the start and after STLS" {
	corpus folder
	start_fakepop --folder folder --tls
	assert_equal "$(pop_digests)" "$(folder_digests folder)"
	start_fakepop --folder folder --stls
	assert_equal "$(pop_digests)" "$(folder_digests folder)"
	transcript_events | grep -q '^tls TLS1.3$'
}

@test "fakepop's LIST tells the octets that RETR sends, without stuffed dots" {
	corpus folder
	start_fakepop --folder folder -e 'capa -SASL'
	run pop 'c = login(connect())' \
		'for row in c.list()[1]:' \
		'    n, size = map(int, row.split())' \
		'    assert c.retr(n)[2] == size, row' \
		'print(c.stat()[0], "SASL" in c.capa(), "PIPELINING" in c.capa())'
	assert_status 0
	assert_output_is '25 False True'
}

@test "fakepop's dots are stuffed on the wire" {
	start_fakepop -e 'message "S: x\n\n.\n..a\nend"'
	run timeout -k 5 10 bash -c 'exec 8<>/dev/tcp/127.0.0.1/$0
		printf "USER jane\r\nPASS secret\r\nRETR 1\r\nQUIT\r\n" >&8; cat <&8' "$PORT"
	assert_output_has $'+OK 21 octets\r\nS: x\r\n\r\n..\r\n...a\r\nend\r\n.\r\n+OK bye'
}

@test "fakepop deletes at QUIT and not at a cut connection, in a folder and in a script" {
	corpus folder
	start_fakepop --folder folder
	run pop 'c = login(connect()); c.dele(1); c.close()' \
		'c = login(connect()); print(c.stat()[0]); c.dele(1); c.dele(25); c.quit()' \
		'c = login(connect()); print(c.stat()[0]); print(c.uidl(1).decode()); c.quit()'
	assert_output_is $'25\n23\n+OK 1 02-attachments.eml'
	[ ! -e folder/01-plain.eml ]
	start_fakepop -e 'messages 3'
	run pop 'c = login(connect()); c.dele(2); c.close()' \
		'c = login(connect()); print(c.stat()[0]); c.dele(2); c.quit()' \
		'c = login(connect()); print(c.uidl()[1]); c.quit()'
	assert_output_is $'3\n[b\'1 uid-1\', b\'2 uid-3\']'
}

@test "fakepop sees mail arrive in its folder and vanish from it" {
	mkdir folder
	start_fakepop --folder folder --uidl-prefix id-
	printf 'Subject: a\n\na\n' >folder/a
	run pop 'c = login(connect()); print(c.uidl()[1]); c.quit()'
	assert_output_is "[b'1 id-a']"
	printf 'Subject: b\n\nb\n' >folder/b
	rm folder/a
	run pop 'c = login(connect()); print(c.uidl()[1]); c.quit()'
	assert_output_is "[b'1 id-b']"
}

@test "fakepop knows APOP, PLAIN, LOGIN and CRAM-MD5 by their published vectors" {
	start_fakepop --apop --user mrose --password tanstaaf
	POP_TLS=none run pop 'c = connect()' \
		'print(c._shortcmd("APOP mrose c4c9334bac560ecc979e58001b3e22fb").decode())'
	assert_output_is '+OK Logged in.'
	start_fakepop --user tim --password tanstaaftanstaaf
	run pop 'import base64' 'e = lambda t: base64.b64encode(t).decode()' \
		'c = connect(); print(c._shortcmd("AUTH CRAM-MD5").decode())' \
		'print(c._shortcmd(e(b"tim b913a602c7eda7a495b4e6e7334d3890")).decode())' \
		'c = connect(); c._shortcmd("AUTH LOGIN"); c._shortcmd(e(b"tim"))' \
		'print(c._shortcmd(e(b"tanstaaftanstaaf")).decode())' \
		'c = connect(); print(c._shortcmd("AUTH PLAIN " + e(b"\0tim\0tanstaaftanstaaf")).decode())' \
		'c = connect(); print(refused(c._shortcmd, "AUTH PLAIN " + e(b"\0tim\0wrong")))'
	assert_output_is '+ PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+
+OK Logged in.
+OK Logged in.
+OK Logged in.
-ERR [AUTH] Authentication failed.'
}

@test "a script overrides answers, once or always, in one session or all" {
	start_fakepop - <<-'EOF'
		messages 3 500
		uidl 2 "an \"odd\" \x7e"
		size 3 -1
		capa -PIPELINING
		capa after +EXPIRE 0
		session 2+ hide 1
		session 2 message Subject: late
		once on RETR 1 send -ERR not yet
		on RETR 3 raw "+OK\r\nas\x00it\ris\r\n.\r\n"
		on DELE send -ERR no
	EOF
	run pop 'c = connect(); print("EXPIRE" in c.capa()); login(c); print(c.capa()["EXPIRE"])' \
		'print("PIPELINING" in c.capa(), c.list()[1][2], c.uidl()[1][1])' \
		'print(refused(c.retr, 1), c.retr(1)[2], c.retr(3)[1], refused(c.dele, 1)); c.quit()' \
		'c = login(connect()); print(c.list()[1], c.retr(3)[1]); c.quit()' \
		'c = login(connect()); print(c.stat()[0]); c.quit()'
	assert_status 0
	assert_output_is "False
['0']
False b'3 -1' b'2 an \"odd\" ~'
-ERR not yet 500 [b'as\x00it\ris'] -ERR no
[b'1 500', b'2 -1', b'3 15'] [b'as\x00it\ris']
2"
}

@test "a script is a dialogue too, and an unexpected line ends it" {
	start_fakepop - <<-'EOF'
		send +OK hello
		expect CAPA
		send -ERR what
		expect /^USER j.*e$/
		normal
		expect PASS secret
		login; send +OK in
		on STAT send +OK 7 7000; drop
		session 2 expect QUIT
	EOF
	run pop 'c = connect(); print(refused(c._longcmd, "CAPA")); login(c); print(c.stat())' \
		'try: c.noop()' 'except (poplib.error_proto, OSError): print("gone")'
	assert_output_is $'-ERR what\n(7, 7000)\ngone'
	assert_equal "$(transcript_whole 1 | xargs)" 'CAPA USER jane PASS secret STAT'
	wait_until 5 grep -q '^1\* end drop' "$TRANSCRIPT"
	run pop 'c = connect()' 'try: c.noop()' 'except (poplib.error_proto, OSError): print("gone")'
	assert_output_is gone
	transcript_events 2 | grep -q 'unexpected: wanted CAPA'
}

@test "a script cuts, drops, resets, stalls and drips" {
	start_fakepop - <<-'EOF'
		messages 1 5000
		session 1 on RETR cut 1000
		session 2 on RETR reset
		session 3 on RETR stall
		session 4 on RETR drip 1000 1; normal
	EOF
	run timeout -k 5 30 python3 - "$PORT" <<-'EOF'
		import socket, sys
		def session():
		    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		    s.sendall(b"USER jane\r\nPASS secret\r\n")
		    text = b""
		    while not text.endswith(b"+OK Logged in.\r\n"):
		        text += s.recv(4096)
		    s.sendall(b"RETR 1\r\n")
		    return s
		def rest(s):
		    text = b""
		    while True:
		        got = s.recv(65536)
		        text += got
		        if not got:
		            return len(text)
		print(rest(session()))
		try:
		    rest(session())
		except ConnectionResetError:
		    print("reset")
		s = session()
		s.settimeout(0.2)
		try:
		    s.recv(1)
		except socket.timeout:
		    print("stalled")
		s.close()
		s = session()
		s.shutdown(socket.SHUT_WR)
		print(rest(s))
	EOF
	assert_output_is $'1000\nreset\nstalled\n5020'
}

@test "fakepop in lock step drops a client that pipelines, and one that does not is served" {
	start_fakepop -e lock-step -e 'messages 2'
	run timeout -k 5 10 bash -c 'exec 8<>/dev/tcp/127.0.0.1/$0
		printf "USER jane\r\nPASS secret\r\n" >&8; cat <&8' "$PORT"
	assert_output_is $'+OK fakepop ready\r'
	run pop 'print(login(connect()).stat()[0])'
	assert_output_is 2
	transcript_events 1 | grep -q '^end pipelined'
}

@test "fakepop lets one session in at a time where it is exclusive" {
	start_fakepop -e exclusive -e 'messages 1'
	run pop 'c = login(connect()); d = connect(); d.user("jane")' \
		'print(refused(d.pass_, "secret")); c.quit()' 'c.close()'
	assert_output_is '-ERR [IN-USE] maildrop is locked by another session'
	run pop 'print(login(connect()).stat()[0])'
	assert_output_is 1
}

@test "fakepop lists a million messages in a moment" {
	start_fakepop --synthetic 1000000 2000
	run timeout -k 5 10 bash -c 'exec 8<>/dev/tcp/127.0.0.1/$0
		printf "USER jane\r\nPASS secret\r\nUIDL\r\nLIST\r\nQUIT\r\n" >&8; wc -l <&8' "$PORT"
	assert_output_is 2000008
}

@test "fakepop listens on ::1, and a test may go on when a file appears" {
	start_fakepop --listen6 -e "on NOOP touch $HOME/arrived; await $HOME/go; send +OK at last"
	pop 'c = login(connect("::1")); print(c.noop().decode())' >out &
	SERVER_PIDS+=($!)
	wait_until 5 test -e arrived
	touch go
	wait_until 5 grep -q '^+OK at last$' out
}

@test "fakepop says what is wrong with a script" {
	run timeout -k 5 10 "$FAKEPOP" -e 'messages 2' -e 'uidl 3 x'
	assert_status 2
	assert_output_has 'there is no such message'
	run timeout -k 5 10 "$FAKEPOP" -e 'session 2 on RETR explode'
	assert_status 2
	run timeout -k 5 10 "$FAKEPOP" -e 'bogus'
	assert_status 2
	assert_output_has 'unknown directive'
}

@test "fakepop ends with the process that started it" {
	bash -c '"$0" --ready "$1" & until [ -e "$1" ]; do sleep 0.01; done; echo $!' "$FAKEPOP" "$HOME/ready" \
		>pid 3>&-
	gone() { ! kill -0 "$(<pid)" 2>/dev/null; }
	wait_until 5 gone
}

@test "openssl accepts the test certificate, by name and by address, through TLS and STLS" {
	start_fakepop --stls
	run timeout -k 5 10 openssl s_client -connect "127.0.0.1:$PORT" -starttls pop3 \
		-CAfile "$CA_FILE" -verify_return_error -verify_hostname localhost </dev/null
	assert_status 0
	start_fakepop --tls
	run timeout -k 5 10 openssl s_client -connect "127.0.0.1:$PORT" \
		-CAfile "$CA_FILE" -verify_return_error -verify_ip 127.0.0.1 </dev/null
	assert_status 0
	assert_output_has 'Verification: OK'
}

@test "Dovecot serves the sample messages, in clear, after STLS and through TLS" {
	corpus folder
	start_dovecot
	put_messages folder jane
	POP_TLS=none run pop_digests
	assert_equal "$output" "$(folder_digests folder)"
	assert_equal "$(pop_digests)" "$(folder_digests folder)"
	PORT=$PORTS SERVER_TLS=implicit
	assert_equal "$(pop_digests)" "$(folder_digests folder)"
}

@test "Dovecot lists the mechanisms that the tests want, and works as an ordinary user" {
	start_dovecot
	run pop 'c = connect(); print(c.welcome.decode()); print(c.capa()["SASL"])' \
		'login(c); print(c.stat())'
	assert_output_matches '^\+OK .*<.*@.*>$'
	assert_output_has "['PLAIN', 'LOGIN', 'CRAM-MD5', 'SCRAM-SHA-1', 'SCRAM-SHA-256']"
	assert_output_has '(0, 0)'
	stop_servers
	[ "$(id -u)" -eq 0 ] || skip 'this is an ordinary user'
	work=$(mktemp -d /tmp/pophaul-nobody.XXXXXX)
	SERVER_DIRS+=("$work")
	run as_nobody "$work"
	assert_status 0
	assert_output_has 'jane has 0'
}

# as_nobody FOLDER: start_dovecot again, in a shell of the user nobody whose home is FOLDER.
as_nobody() {
	local work=$1

	cp -r "$CERT_DIR" "$work/certs"
	cp "$TESTS/helper.bash" "$work"
	chown -R nobody "$work"
	timeout -k 5 60 setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups \
		env BATS_TEST_TMPDIR="$work" BATS_SUITE_TMPDIR="$work" PORT= CA="$work/certs/ca.pem" \
		HOME="$work" bash -c '
		bats_require_minimum_version() { :; }
		cd "$HOME" && . ./helper.bash && default_setup && start_dovecot || exit
		python3 -c "
import poplib, sys
c = poplib.POP3(\"127.0.0.1\", int(sys.argv[1]))
c.user(\"jane\"); c.pass_(\"secret\"); print(\"jane has\", c.stat()[0])" "$PORT"
		status=$?
		stop_servers
		exit $status'
}
