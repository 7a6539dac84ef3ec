#!/usr/bin/env bats
# No server holds an account for ever, nor fills memory or the disk: drips, endless lines, lists,
# messages and sessions, floods. Each ends within its limit, is named, and leaves the rest to the next run.

load helper
load resolver

# use LINE…: the account "home" for the server started last; a window for drips of 1 s.
use() {
	[[ " $*" == *' timeout = '* ]] || set -- 'timeout = 1s' "$@"
	account home "$@" | write_config
}

poll() {
	run --separate-stderr pophaul "$@"
}

measured() {
	run --separate-stderr pophaul_measured "$@"
}

mail() {
	find Maildir/new Maildir/cur -type f | wc -l
}

leaves_nothing_behind() {
	assert_equal "$(count_files Maildir/tmp)" 0
	run pgrep -f "$BUILD/pophaul.*$BATS_TEST_TMPDIR"
	assert_output_is ''
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
		start_fakepop -e 'messages 5' -e "capa $how" \
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
	start_fakepop -e 'message "Subject: x\n\nbody\n"' -e 'on RETR drip 2 200; normal'
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
	start_fakepop -e 'messages 2 3000000' -e 'on RETR drip 100000 1; normal'
	use "deliver = \"pipe:sh -c 'sleep 2; cat >>got'\"" 'min-rate = 100K'
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

# ---- what has no end ----

@test "a message without an end is cut, leaves nothing on the disk, and the others come" {
	local dest

	for dest in maildir:~/Maildir mbox:~/mbox pipe:"sh -c 'cat >>piped'"; do
		rm -rf "$STATE" Maildir mbox piped
		start_fakepop -e 'messages 3' -e 'once on RETR 2 raw "+OK\r\nSubject: x\r\n"; flood 0 "on and on\r\n"'
		use "deliver = \"$dest\"" 'keep = never' 'timeout = 10s'
		measured
		assert_status 76
		assert_stderr_has 'home: in the middle of message 2: it does not end: 268'
		assert_stderr_has ' octets have come, and LIST has 1000 octets for it'
		assert_memory_below 64
		leaves_nothing_behind
		run find . -size +1M
		assert_output_is ''
		poll
		assert_status 0
		assert_equal "$(cat mbox piped Maildir/new/* 2>/dev/null | grep -c '^Subject: Generated')" 3
	done
}

@test "without a size in LIST that makes sense a message may have a gigabyte, and no more" {
	start_fakepop -e 'messages 2' -e 'size 1 99999999999999999' -e 'size 2 -5' \
		-e 'on RETR 1 raw "+OK\r\n"; flood 1073741820 x; raw "\r\n.\r\n"' -e 'on RETR 2 raw "+OK\r\n"; flood 0 x'
	use 'timeout = 10s' "deliver = \"pipe:sh -c 'wc -c >>sizes'\""
	measured
	assert_status 76
	assert_equal "$(cat sizes)" 1073741821
	assert_stderr_has 'in the middle of message 2: it does not end: 107'
	assert_stderr_has 'and LIST has no size for it'
	assert_memory_below 64
	leaves_nothing_behind
}

@test "max-size goes by what LIST says: a message that is bigger than it was listed is delivered" {
	start_fakepop -e 'messages 1 5000' -e 'size 1 100'
	use 'max-size = 1K'
	poll
	assert_status 0
	assert_equal "$(mail)" 1
}

@test "a line without an end is refused wherever it comes, in little memory" {
	local row where script

	for row in \
		'greeting|raw +OK; flood 0 x' \
		'reply to CAPA|once on CAPA normal|on CAPA raw "+OK\r\n"; flood 0 x' \
		'AUTH|on AUTH flood 0 "+ "' \
		'reply to UIDL|on UIDL raw "+OK\r\n1 "; flood 0 x' \
		'reply to LIST|on LIST raw "+OK\r\n1 "; flood 0 1' \
		'home|on RETR 2 raw +OK; flood 0 x' \
		'home|on DELE raw -ERR; flood 0 x' \
		'reply to QUIT|on QUIT raw +OK; flood 0 x'; do
		where=${row%%|*} script=${row#*|}
		echo "$row"
		rm -rf Maildir "$STATE"
		start_fakepop -e 'messages 3' -e "${script%%|*}" -e "${script##*|}"
		use 'keep = never' 'timeout = 10s'
		measured
		assert_status 76
		assert_stderr_has "$where"
		assert_stderr_has 'the server sent a line of more than 65536 octets'
		assert_memory_below 64
		leaves_nothing_behind
	done
}

@test "lists, challenges and headers without an end are refused, in little memory" {
	local row what script

	for row in \
		'the reply to CAPA has more than 1000 lines|once on CAPA normal|on CAPA raw "+OK\r\n"; flood 0 "X-Y\r\n"' \
		'unexpected reply to the connection: "x"|raw "x\r\n"; flood 0 "x\r\n"' \
		'home: CRAM-MD5: |on AUTH flood 0 "+ PDE+\r\n"' \
		'unexpected reply to USER|capa -SASL|on USER flood 0 "hello\r\n"'; do
		what=${row%%|*} script=${row#*|}
		echo "$row"
		start_fakepop -e 'messages 3' -e "${script%%|*}" -e "${script##*|}"
		use 'timeout = 10s'
		measured
		assert_memory_below 64
		[ "$status" -ne 0 ]
		assert_stderr_has "$what"
		leaves_nothing_behind
	done
	start_fakepop -e 'messages 3 10' -e 'on TOP 2 raw "+OK\r\n"; flood 0 "X: y\r\n"'
	use 'timeout = 10s'
	measured --list -v
	assert_status 76
	assert_stderr_has 'in the middle of message 2: it does not end: 268'
	assert_memory_below 64
}

@test "replies that run ahead of the commands, without end, are not heard for long" {
	local script

	for script in 'on RETR 2 normal; flood 0 "+OK\r\n"' 'on DELE flood 0 "+OK\r\n"' \
		'on UIDL normal; flood 0 "+OK\r\n"' 'on RETR 1 flood 0 "-ERR no\r\n"' 'on NOOP flood 0 "+OK\r\n"' \
		'on QUIT flood 0 "+OK\r\n"' 'on PASS flood 0 "+OK\r\n"'; do
		for capa in -SASL -PIPELINING; do
			echo "$script $capa"
			rm -rf Maildir "$STATE"
			start_fakepop -e 'messages 3' -e "capa $capa" -e 'capa -SASL' -e "$script"
			use 'keep = never' 'timeout = 10s'
			measured
			[[ $status =~ ^(0|69|76|77)$ ]]
			assert_memory_below 64
			leaves_nothing_behind
		done
	done
}

@test "300 MB in one line, faster than they can be delivered, go through in little memory" {
	local dest

	for dest in maildir:~/Maildir mbox:~/mbox pipe:"sh -c 'cat >piped; sync piped'"; do
		rm -rf "$STATE" Maildir mbox piped
		start_fakepop -e 'messages 2' -e 'size 1 300000000' \
			-e 'on RETR 1 raw "+OK\r\n"; flood 299999998 x; raw "\r\n.\r\n"'
		use "deliver = \"$dest\"" 'max-messages = 1' 'timeout = 30s'
		measured
		assert_status 0
		assert_memory_below 64
		assert_equal "$(cat mbox piped Maildir/new/* 2>/dev/null | tr -cd x | wc -c)" 299999998
	done
}

# ---- the session's own limit ----

@test "a session that is over session-limit ends in good order, and the next one goes on" {
	start_fakepop -e 'messages 100' -e 'capa -PIPELINING' -e 'session 1 on RETR wait 100; normal'
	use 'session-limit = 1s' 'keep = never'
	poll
	assert_status 75
	assert_stderr_has 'pophaul: home: ended early, after session-limit (1 s): the rest comes next time'
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
	start_fakepop -e 'messages 30' -e 'session 1 on DELE wait 500; normal'
	use 'session-limit = 1s' 'keep = never' 'min-rate = 0'
	poll
	assert_status 75
	assert_stderr_has 'pophaul: home: ended at once: it went on after session-limit (1 s)'
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
	use 'host = "hangs.example.org"' 'session-limit = 1s'
	RESOLVER=hang run --separate-stderr with_resolver pophaul
	assert_status 75
	assert_stderr_has 'home: ended at once: it went on after session-limit (1 s)'
	leaves_nothing_behind
	use 'host = "hangs.example.org"'
	stopped_in 2 RESOLVER=hang LD_PRELOAD="$BATS_TEST_TMPDIR/resolver.so"
	assert_stderr_has 'home: ended at once by a second signal'
	stopped_in 1 RESOLVER=hang LD_PRELOAD="$BATS_TEST_TMPDIR/resolver.so"
	assert_stderr_has 'home: the fetcher gives no sign of life: ended'
	leaves_nothing_behind
}

# ---- waits that a signal ends ----

# stopped_in SIGNALS NAME=VALUE…: the program, in this environment, gets so many SIGTERMs once something waits for
# long: the file "waits" is there, or a lookup hangs.
is_waiting() {
	[ -e waits ] || grep -qs 'lookup hangs' err
}

stopped_in() {
	local signals=$1 pid before=$SECONDS

	shift
	env "$@" ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0" "$BUILD/pophaul" </dev/null >out 2>err 3>&- &
	pid=$!
	wait_until 10 is_waiting
	for ((; signals > 0; signals--)); do
		kill -TERM "$pid"
		wait_until 10 grep -q interrupted err
	done
	status=0
	wait "$pid" || status=$?
	stderr=$(cat err) output=$(cat out)
	assert_status 75
	[ $((SECONDS - before)) -lt 20 ] || fail "it took $((SECONDS - before)) s"
}

@test "a signal ends a password-command that hangs, and the wait for an mbox's lock" {
	start_fakepop -e 'messages 3' -e "on QUIT touch $HOME/waits; normal"
	use "password-command = \"sh -c 'touch waits; exec sleep 60 </dev/null'\"" 'password ='
	stopped_in 1
	assert_stderr_has 'home: password-command'
	assert_stderr_has 'asked to stop'
	assert_equal "$(count_sessions)" 0
	rm waits
	leaves_nothing_behind
	: >mbox.lock
	use 'deliver = "mbox:~/mbox"' 'lock-timeout = 60s'
	start_fakepop -e 'messages 3' -e "on RETR 3 normal; touch $HOME/waits"
	use 'deliver = "mbox:~/mbox"' 'lock-timeout = 60s'
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
