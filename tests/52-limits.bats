#!/usr/bin/env bats
# No server holds an account for ever: drips, sessions without end, name servers that hang. Each ends within its
# limit, which is named, and leaves the rest to the next run. A signal ends what waits.

load helper
load resolver

# use LINE…: the account "home" for the server started last; a window for drips of 1 s.
use() {
	[[ " $*" == *' timeout = '* ]] || set -- 'timeout = 1s' "$@"
	account home "$@" | write_config
}

mail() {
	find Maildir/new Maildir/cur -type f | wc -l
}

# ---- drips ----

# too_slow WHERE: the run failed at the drip.
too_slow() {
	assert_status 69
	assert_stderr_has "$1: the server sends too slowly: "
	assert_stderr_has ' in 1 second (min-rate)'
	leaves_nothing_behind
}

@test "a server that drips an octet now and then is left, in whatever line it drips" {
	local row where capa script

	for row in \
		'waiting for the greeting|-TOP|drip 1 100; flood 300 +OK' \
		'waiting for the reply to USER|-SASL|on USER drip 1 100; flood 300 +OK' \
		'waiting for the reply to PASS|-SASL|on PASS drip 1 100; flood 300 +OK' \
		'waiting for the reply to AUTH CRAM-MD5|-TOP|on AUTH drip 1 100; flood 300 "+ "' \
		'waiting for the reply to UIDL|-TOP|on UIDL drip 1 100; flood 300 +OK' \
		'in the middle of the reply to LIST|-PIPELINING|on LIST raw "+OK\r\n"; drip 1 100; flood 300 1' \
		'in the middle of the reply to UIDL|-TOP|on UIDL raw "+OK\r\n1 u1\r\n"; drip 8 400; flood 800 "2 u234\r\n"' \
		'deletions are not confirmed: waiting for the reply to QUIT|-TOP|on QUIT drip 1 100; flood 300 +OK'; do
		IFS='|' read -r where capa script <<<"$row"
		echo "$row"
		rm -rf Maildir "$STATE"
		start_fakepop -e 'messages 3' -e "capa $capa" -e "$script"
		use 'keep = never' 'auth = "auto"'
		poll
		too_slow "$where"
	done
	assert_equal "$(mail)" 3
}

@test "a message that drips is cut; those before it are kept and deleted next time, the rest comes then" {
	local how

	for how in '+X-NOTHING' '-PIPELINING'; do
		rm -rf Maildir "$STATE"
		start_fakepop -e 'messages 1 1000' -e 'messages 1 1100' -e 'messages 3 1200' -e "capa $how" \
			-e 'once on RETR 3 raw "+OK\r\nSubject: x\r\n"; drip 1 100; flood 300 a'
		use 'keep = never'
		poll
		too_slow 'in the middle of message 3'
		assert_equal "$(mail)" 2
		poll
		assert_status 0
		assert_equal "$(mail)" 5
		assert_equal "$(transcript 2 | grep -c '^RETR')" 3
		assert_equal "$(transcript 2 | grep -c '^DELE')" 5
	done
}

@test "so is a deletion whose answer drips, and a header for --list" {
	start_fakepop -e 'messages 2' -e 'once on DELE 2 drip 1 100; flood 300 +OK' \
		-e 'on TOP 2 raw "+OK\r\n"; drip 1 100; flood 300 a'
	use 'keep = never'
	poll
	too_slow home
	assert_equal "$(mail)" 2
	poll --list -v
	too_slow 'in the middle of message 2'
}

@test "min-rate = 0 takes what drips, and so does a rate that is lower" {
	start_fakepop -e 'message "Subject: x\n\nbody\n"' -e 'on RETR drip 5 100; normal'
	use 'min-rate = 0'
	poll
	assert_status 0
	use 'min-rate = 5' 'keep = never'
	rm -rf "$STATE"
	poll
	assert_status 0
	assert_equal "$(mail)" 2
	use 'min-rate = 1M' 'keep = never'
	start_fakepop -e 'messages 1 1000000' -e 'on RETR drip 10000 100; normal'
	use 'min-rate = 1M'
	poll
	too_slow 'in the middle of message 1'
}

@test "the wait for a reply's first octet is no drip, however many replies there are" {
	start_fakepop -e 'messages 4' -e 'capa -PIPELINING' -e 'on RETR wait 700; normal'
	use 'timeout = 2s' 'min-rate = 1M'
	poll
	assert_status 0
	assert_equal "$(mail)" 4
}

@test "a slow command is not the server's slowness" {
	start_fakepop -e 'messages 2 3000000'
	# More than what is read ahead of the command; were its time counted, the window would be over with too little.
	use "deliver = \"pipe:sh -c 'test -e slept || sleep 4; touch slept; cat >>got'\"" 'min-rate = 4M' 'timeout = 3s'
	poll
	assert_status 0
	[ "$(wc -c <got)" -gt 5800000 ]
}

# start_dripper: a relay to the server started last, on PORT; once the file "drip" is there, what the server sends
# comes an octet at a time.
start_dripper() {
	rm -f dripper.port
	python3 - "$PORT" >dripper.port 3>&- <<-'EOF' &
		import os, socket, sys, threading, time
		def relay(source, sink, drips):
		    try:
		        while True:
		            octets = source.recv(65536)
		            if not octets:
		                break
		            while octets and drips and os.path.exists("drip"):
		                sink.sendall(octets[:1])
		                octets = octets[1:]
		                time.sleep(0.1)
		            sink.sendall(octets)
		    except OSError:
		        pass
		    try:
		        sink.shutdown(socket.SHUT_WR)
		    except OSError:
		        pass
		listener = socket.create_server(("127.0.0.1", 0))
		print(listener.getsockname()[1], flush=True)
		while True:
		    client = listener.accept()[0]
		    server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
		    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		    threading.Thread(target=relay, args=(client, server, False), daemon=True).start()
		    threading.Thread(target=relay, args=(server, client, True), daemon=True).start()
	EOF
	SERVER_PIDS+=("$!")
	wait_until 10 test -s dripper.port
	PORT=$(<dripper.port)
}

@test "a TLS record that drips is a drip, although no octet of it can be read" {
	start_fakepop --tls -e 'messages 3 10000' -e 'capa -PIPELINING' -e "on RETR 2 touch $HOME/drip; normal"
	start_dripper
	use
	poll
	too_slow home
	assert_equal "$(mail)" 1
	rm drip
	start_fakepop --stls -e 'messages 3' -e 'capa -PIPELINING' -e "on UIDL touch $HOME/drip; raw \"+OK\r\n\"; flood 10000 x"
	start_dripper
	use
	poll
	too_slow 'reply to UIDL'
}

@test "a handshake that drips ends with connect-timeout" {
	: >drip
	start_fakepop --tls
	start_dripper
	use 'connect-timeout = 2s'
	poll
	assert_status 69
	assert_stderr_has 'timed out'
	rm drip
	start_fakepop --stls -e "on STLS touch $HOME/drip; raw \"+OK\r\n\"; starttls"
	start_dripper
	use 'connect-timeout = 2s'
	poll
	assert_status 69
	leaves_nothing_behind
}

# ---- the session's own limit ----

@test "a session that is over session-limit ends in good order, and the next one goes on" {
	start_fakepop -e 'messages 100' -e 'capa -PIPELINING' \
		-e 'session 1 on RETR 1 normal' -e 'session 1 on RETR wait 200; normal'
	# Time enough to begin, on a loaded machine, too; too little for 100 messages, on any.
	use 'session-limit = 5s' 'keep = never'
	poll
	assert_status 75
	assert_stderr_has 'pophaul: home: ended early, after session-limit (5 s): the rest comes next time'
	session=$(mail)
	[ "$session" -gt 0 ] && [ "$session" -lt 100 ]
	# What it had fetched it has deleted, and QUIT was said.
	assert_equal "$(transcript_events 1 | grep -c '^deleted')" "$session"
	poll
	assert_status 0
	assert_equal "$(mail)" 100
	assert_equal "$(transcript 2 | grep -c '^RETR')" $((100 - session))
	leaves_nothing_behind
}

@test "one that does not end when it is asked to is ended at once, and nothing is lost" {
	start_fakepop -e 'messages 30' -e 'session 1 on DELE wait 1000; normal'
	use 'session-limit = 5s' 'timeout = 10s' 'keep = never' 'min-rate = 0'
	poll
	assert_status 75
	assert_stderr_has 'pophaul: home: ended at once: it went on after session-limit (5 s)'
	assert_equal "$(mail)" 30
	leaves_nothing_behind
	poll
	assert_status 0
	assert_equal "$(mail)" 30
	assert_equal "$(transcript_events 2 | grep -c '^deleted')" 30
}

@test "session-limit = 0s is none, and another account is not touched by one that is over" {
	start_fakepop -e 'messages 15' -e 'capa -PIPELINING' -e 'on RETR wait 100; normal'
	{
		account home 'session-limit = 0s'
		account joe 'session-limit = 1s' "deliver = \"maildir:$HOME/joe\""
	} | write_config
	poll
	assert_status 75
	assert_stderr_has 'joe: ended early'
	refute_stderr_has 'home: '
	assert_equal "$(mail)" 15
}

@test "a session that a name server holds up ends at its limit, and at a signal" {
	make_resolver
	start_fakepop -e 'messages 1'
	use 'host = "hangs.example.org"' 'cleartext = "yes"' 'session-limit = 1s'
	RESOLVER=hang run --separate-stderr with_resolver pophaul
	assert_status 75
	assert_stderr_has 'home: ended at once: it went on after session-limit (1 s)'
	leaves_nothing_behind
	use 'host = "hangs.example.org"' 'cleartext = "yes"'
	stopped_in 2 RESOLVER=hang LD_PRELOAD="$BATS_TEST_TMPDIR/resolver.so"
	assert_stderr_has 'home: ended at once by a second signal'
	stopped_in 1 RESOLVER=hang LD_PRELOAD="$BATS_TEST_TMPDIR/resolver.so"
	assert_stderr_has 'home: the fetcher gives no sign of life: ended'
	leaves_nothing_behind
}

# ---- waits that a signal ends ----

# stopped_in SIGNALS NAME=VALUE…: the program, in this environment, gets so many SIGTERMs once something waits for
# longer than it may run: the file "waits" is there, or a lookup hangs. In the foreground timeout(1) hands on a
# signal once; it is the program that ends the wait, or it is killed, which is another status.
is_waiting() {
	[ -e waits ] || grep -qs 'lookup hangs' err
}

stopped_in() {
	local signals=$1 pid

	shift
	env "$@" ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" \
		timeout --foreground -s KILL 60 "$POPHAUL" </dev/null >out 2>err 3>&- &
	pid=$!
	wait_until 10 is_waiting
	! no_process_is_left || fail 'a process that goes on is not seen'
	for ((; signals > 0; signals--)); do
		kill -TERM "$pid"
		wait_until 10 grep -q interrupted err
	done
	status=0
	wait "$pid" || status=$?
	stderr=$(cat err) output=$(cat out)
	assert_status 75
}

@test "a signal ends a password-command that hangs, and the wait for an mbox's lock" {
	start_fakepop -e 'messages 3' -e "on QUIT touch $HOME/waits; normal"
	use "password-command = \"sh -c 'touch waits; exec sleep 600 </dev/null'\"" 'password ='
	stopped_in 1
	assert_stderr_has 'home: password-command'
	assert_stderr_has 'asked to stop'
	assert_equal "$(count_sessions)" 0
	rm waits
	leaves_nothing_behind
	: >mbox.lock
	start_fakepop -e 'messages 3' -e "on RETR 3 normal; touch $HOME/waits"
	use 'deliver = "mbox:~/mbox"' 'lock-timeout = 600s'
	stopped_in 1
	rm mbox.lock
	assert_equal "$(cat mbox 2>/dev/null | grep -c ^Subject)" 0
	poll
	assert_status 0
	assert_equal "$(grep -c ^Subject mbox)" 3
}

@test "a password-command that prints without end is ended in its time" {
	start_fakepop
	use "password-command = \"sh -c 'trap \\\"\\\" TERM; yes x | tr -d \\\\\\\\n'\"" 'password =' 'session-limit = 1s'
	poll
	assert_status 75
	assert_stderr_has 'session-limit'
	leaves_nothing_behind
}
