#!/usr/bin/env bats
# No server holds an account for ever, nor fills memory or the disk: drips, endless lines, lists,
# messages and sessions, floods. Each ends within its limit, is named, and leaves the rest to the next run.

load helper

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
