#!/usr/bin/env bats
# Replies that are not those to the commands: too many, too few, in another order, ahead of
# the commands. POP3 numbers no reply, so a message can be taken for its neighbour's; whatever happens,
# in the end each is here, once, and none is deleted before.

load helper

# Messages of one size, or of several.
write_messages() {
	local n

	mkdir same mixed
	for n in 1 2 3 4 5; do
		printf 'Subject: message %d\n\nof one size\n' "$n" >"same/$n.eml"
		printf 'Subject: message %d\n\n%0*d\n' "$n" "$((n * n))" 0 >"mixed/$n.eml"
	done
}

setup() {
	default_setup
	write_messages
}

# poll LINE…: the account polled, in a state of its own.
poll() {
	account box 'auth = "USER"' 'timeout = "1s"' "$@" | write_config
	run --separate-stderr pophaul
}

# serve FOLDER LINE…: its messages, with these lines of script; the account begins anew.
serve() {
	local line args=()

	rm -rf served Maildir "$STATE"
	cp -r "$1" served
	for line in "${@:2}"; do
		args+=(-e "$line")
	done
	stop_servers
	start_fakepop --folder served "${args[@]}"
}

# recovers KEEP STATUS TEXT [EXTRA]: the first session fails so and deletes nothing; the next one, in lock
# step and whole, ends with each message here once (and EXTRA files that were no message); a third one has nothing to do.
recovers() {
	local folder=$1 keep=$2 wanted=$3 text=$4 extra=${5:-0} deleted=0

	poll "keep = \"$keep\""
	assert_status "$wanted"
	assert_stderr_has "$text"
	assert_equal "$(grep -c '^1\* deleted' "$TRANSCRIPT")" 0
	run ! grep -q '^1> \(DELE\|QUIT\)' "$TRANSCRIPT"
	poll "keep = \"$keep\""
	assert_status 0
	assert_equal "$stderr" ''
	[ "$keep" = forever ] || deleted=5
	assert_equal "$(transcript_events 2 | grep -c deleted)" "$deleted"
	everything_is_here "$folder" "$extra"
	poll "keep = \"$keep\""
	assert_status 0
	assert_equal "$(transcript 3 | grep -c RETR)" 0
	everything_is_here "$folder" "$extra"
}

# everything_is_here FOLDER EXTRA: and so many files more.
everything_is_here() {
	[ "$2" -ne 0 ] || assert_equal "$(maildir_digests Maildir | uniq -d)" ''
	assert_equal "$(comm -13 <(maildir_digests Maildir) <(folder_digests "$1"))" ''
	assert_equal "$(count_files Maildir)" "$((5 + $2))"
}

# both_ways FOLDER STATUS TEXT EXTRA LINE…: with mail that stays and with mail that goes.
both_ways() {
	local keep

	for keep in forever never; do
		serve "$1" "${@:5}"
		echo "keep = $keep, script: ${*:5}" >&2
		recovers "$1" "$keep" "$2" "$3" "$4"
	done
}

# ---- several commands in flight ----

# Two messages that are the same are two messages: the one that came twice is here twice.
@test "a reply sent twice: the next session fetches what may stand under a wrong id" {
	both_ways same 76 'neither +OK nor -ERR: "Subject: message 5"' 1 'session 1 on RETR 1 normal; normal'
	both_ways same 76 'neither +OK nor -ERR: "Subject: message 5"' 1 'session 1 on RETR 4 normal; normal'
	grep -q '^fact lockstep [1-9]' "$STATE/box.uidl"
	assert_equal "$(transcript_events 2 | sed -n 's/^end .*flights=//p')" 19
}

@test "a refusal too many: the next session fetches what may stand under a wrong id" {
	both_ways same 76 'neither +OK nor -ERR: "Subject: message 5"' 0 'session 1 on RETR 2 send -ERR what?; normal'
}

@test "a status too many: what follows it is not taken for a message" {
	both_ways same 76 'a message begins with a status line' 0 'session 1 on RETR 2 send +OK; normal'
	both_ways same 76 'a message begins with a status line' 0 'session 1 on RETR 2 raw "+OK\r\n+"; wait 50; raw "OK\r\n"; normal'
}

@test "a reply left out is noticed by the sizes, before the third message has a wrong id" {
	both_ways mixed 76 'messages have the sizes of their neighbours' 0 'session 1 on RETR 2 wait 0'
	both_ways mixed 69 'the server has been silent for 1 second' 0 'session 1 on RETR 4 wait 0'
}

@test "a reply left out among messages of one size is suspected behind the silence that follows" {
	both_ways same 69 'the server has been silent for 1 second' 0 'session 1 on RETR 2 wait 0'
}

@test "a silence behind a message of its own size is no reason to fetch it again" {
	serve mixed 'session 1 on RETR 3 stall'
	poll
	assert_status 69
	poll
	assert_status 0
	assert_equal "$(transcript 2 | grep RETR)" $'RETR 3\nRETR 4\nRETR 5'
	run ! grep -q lockstep "$STATE/box.uidl"
	everything_is_here mixed 0
}

@test "replies in another order are noticed by the sizes" {
	printf '+OK\r\n%s\r\n.\r\n' "$(sed 's/$/\r/' mixed/3.eml)" >third
	printf '+OK\r\n%s\r\n.\r\n' "$(sed 's/$/\r/' mixed/2.eml)" >second
	sed -i 's/\r\r$/\r/' second third
	both_ways mixed 76 'messages have the sizes of their neighbours' 0 \
		"session 1 on RETR 2 content $HOME/third" "session 1 on RETR 3 content $HOME/second"
}

@test "sizes that are wrong, also by chance the neighbour's once, are no suspicion" {
	serve mixed
	stop_servers
	start_fakepop -e "folder served" -e 'size 1 33' -e 'size 2 1000' -e 'size 3 1' -e 'size 4 -1' -e 'size 5 0'
	poll
	assert_status 0
	assert_equal "$stderr" ''
	everything_is_here mixed 0
}

@test "what is thrown away behind the first command of a flight is asked again one by one" {
	serve same 'session 1 on UIDL discard; normal'
	poll
	assert_status 0
	assert_equal "$(count_sessions)" 2
	everything_is_here same 0
	grep -q '^fact lockstep ' "$STATE/box.uidl"
	poll
	assert_status 0
	assert_equal "$(count_sessions)" 3
	assert_equal "$(transcript 3 | grep -c RETR)" 0
}

@test "a server that hangs up on each place of a flight is asked again one by one, or next time" {
	local place

	for place in UIDL LIST 'RETR 1'; do
		serve same "session 1 on $place drop"
		poll
		assert_equal "$place: $status $stderr" "$place: 0 "
		assert_equal "$place: $(count_sessions)" "$place: 2"
		everything_is_here same 0
	done
	for place in 2 5; do
		serve same "session 1 on RETR $place drop"
		poll
		assert_status 69
		poll
		assert_status 0
		# They are of one size: a reply may have been left out before.
		assert_equal "$(transcript 2 | grep RETR)" "$(seq -f 'RETR %g' 5)"
		everything_is_here same 0
		serve mixed "session 1 on RETR $place drop"
		poll
		assert_status 69
		poll
		assert_status 0
		assert_equal "$(transcript 2 | grep RETR)" "$(seq -f 'RETR %g' "$place" 5)"
		everything_is_here mixed 0
	done
}

# ---- one command at a time ----

@test "in lock step nothing is taken that came before it was asked for" {
	local ahead

	for ahead in 'send +OK' 'raw "+OK\r\nSubject: ahead\r\n\r\nx\r\n.\r\n"' 'send what?' 'raw "+O"'; do
		serve same 'capa -PIPELINING' "session 1 on RETR 2 normal; $ahead"
		poll 'keep = "never"'
		assert_status 76
		assert_equal "$(transcript 1 | tail -n 1)" 'RETR 2'
		poll 'keep = "never"'
		assert_status 0
		assert_equal "$(transcript_events 2 | grep -c deleted)" 5
		everything_is_here same 0
	done
}

@test "in lock step a farewell is no disorder: what came before it is not fetched again" {
	serve same 'capa -PIPELINING' 'session 1 on RETR 2 normal; send -ERR idle for too long; drop'
	poll
	assert_status 69
	assert_stderr_has 'the server says unasked: "-ERR idle for too long"'
	poll
	assert_status 0
	assert_equal "$(transcript 2 | grep RETR)" $'RETR 3\nRETR 4\nRETR 5'
	everything_is_here same 0
}

@test "in lock step another text in front of a reply is found out, and the message is fetched again" {
	serve same 'capa -PIPELINING' 'session 1 on RETR 2 raw "+OK\r\nSubject: alien\r\n\r\nx\r\n.\r\n"; normal'
	poll 'keep = "never"'
	assert_status 76
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(transcript 2 | grep -c RETR)" 5
	everything_is_here same 1
}

# ---- at the ends ----

@test "a whole text in answer to QUIT is none of an earlier command, as STAT was answered before it" {
	local way

	for way in +PIPELINING -PIPELINING; do
		serve same "capa $way" 'on QUIT raw "+OK bye\r\nyour quota is 3%\r\n.\r\n"; bye'
		poll
		assert_equal "$way: $status $stderr" "$way: 0 "
		poll
		assert_status 0
		assert_equal "$(transcript 2 | grep -c RETR)" 0
		everything_is_here same 0
	done
}

# The order of what is left out or doubled shows only later, or never: the session ends for another reason.
@test "a reply left out, and then another end than silence: the next session fetches what may stand under a wrong id" {
	local left_out='session 1 on RETR 2 raw ""'

	both_ways same 69 'the server closed the connection' 0 "$left_out" 'session 1 on RETR 5 normal; wait 200; drop'
	both_ways same 69 'the server closed the connection' 0 "$left_out" \
		'session 1 on RETR 5 normal; wait 200; send -ERR autologout; drop'
	both_ways same 69 'in the middle of message 4: the server has been silent' 0 "$left_out" \
		'session 1 on RETR 5 raw "+OK\r\nSubject: mess"; stall'
}

@test "a reply left out, and then the end of session-limit: the next session fetches what may stand under a wrong id" {
	serve same 'session 1 on RETR 2 raw ""'
	account box 'auth = "USER"' 'session-limit = "1s"' 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 75
	run ! grep -q '^1> \(DELE\|QUIT\)' "$TRANSCRIPT"
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(transcript_events 2 | grep -c deleted)" 5
	everything_is_here same 0
}

@test "two messages of one size, of which one was left out: suspected when the connection ends there" {
	local n

	mkdir pairs
	for n in 1 2 3 4 5; do
		printf 'Subject: message %d\n\n%0*d\n' "$n" "$((n == 3 ? 2 : n))" 0 >"pairs/$n.eml"
	done
	both_ways pairs 69 'the server closed the connection' 0 'session 1 on RETR 2 wait 0' 'session 1 on RETR 4 drop'
}

@test "a status too many behind the last message is found out by NOOP's answer, however late it comes" {
	both_ways same 76 'what came in answer to NOOP is not that' 0 'session 1 on RETR 5 normal; wait 300; send +OK' \
		'session 1 on STAT wait 300; normal' 'session 1 on NOOP wait 300; normal'
}

@test "a refusal too many whose surplus comes seconds late is found out by STAT, at whatever pace" {
	both_ways same 76 'neither +OK nor -ERR: "Subject: message 5"' 0 \
		'session 1 on RETR 1 send -ERR [SYS/TEMP] busy; normal' 'session 1 on RETR 5 wait 700; normal'
	both_ways same 76 'neither +OK nor -ERR: "Subject: message 1"' 0 'capa -PIPELINING' \
		'session 1 on RETR 1 send -ERR [SYS/TEMP] busy; wait 300; normal'
	grep -q '^RETR 1$' <(transcript 1)
	run ! grep -q '^RETR 2$' <(transcript 1)
}

@test "with EXPIRE 0 nothing is given up to the server by a QUIT while a reply is missing" {
	serve same 'capa +EXPIRE 0' delete-retrieved 'session 1 on RETR 2 send -ERR busy; normal' \
		'session 1 on RETR 5 wait 500; normal'
	poll
	assert_status 76
	run ! grep -q '^1> QUIT' "$TRANSCRIPT"
	poll
	assert_status 0
	everything_is_here same 0
}

@test "a status too many behind a DELE is not taken for QUIT's" {
	serve same 'session 1 on DELE 5 normal; wait 300; send +OK' 'session 1 on QUIT wait 300; send -ERR not updated; drop'
	poll 'keep = "never"'
	assert_status 76
	run ! grep -q '^1> QUIT' "$TRANSCRIPT"
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(transcript 2 | grep -c RETR)" 0
	assert_equal "$(transcript_events 2 | grep -c deleted)" 5
	everything_is_here same 0
}

@test "a STAT that is refused, counts otherwise or has words around its numbers is asked about by NOOP" {
	local answer

	for answer in '-ERR unknown' '+OK 9 900' '+OK there are 5 messages' '+OK'; do
		serve same "on STAT send $answer"
		poll 'keep = "never"'
		assert_equal "$answer: $status $stderr" "$answer: 0 "
		assert_equal "$(transcript_whole 1 | sed -n '/RETR 5/,$p' | paste -sd ' ')" \
			'RETR 5 STAT NOOP DELE 1 DELE 2 DELE 3 DELE 4 DELE 5 NOOP QUIT'
		everything_is_here same 0
	done
}

@test "STAT stands behind the last message and the last deletion, and an idle poll has none" {
	serve same
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$(transcript_whole 1 | sed -n '/RETR 5/,$p' | paste -sd ' ')" \
		'RETR 5 STAT DELE 1 DELE 2 DELE 3 DELE 4 DELE 5 STAT QUIT'
	poll 'keep = "never"'
	assert_equal "$(transcript_whole 2 | tail -n 1)" QUIT
	run ! grep -q '^2> STAT' "$TRANSCRIPT"
}

@test "an empty line behind each message in lock step is passed over" {
	serve same 'capa -PIPELINING' 'on /^RETR/ normal; raw "\r\n"'
	poll 'keep = "never"'
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(transcript_events 1 | grep -c deleted)" 5
	everything_is_here same 0
}

@test "a server that does not stuff dots: only the message that goes on behind its end is not kept" {
	serve same 'capa -PIPELINING' 'session 1-2 on RETR 3 raw "+OK\r\nSubject: dots\r\n\r\na\r\n.\r\nb\r\n.\r\n"'
	poll
	assert_status 76
	assert_stderr_has 'message 3: its text goes on behind its end mark: "b'
	assert_equal "$(count_files Maildir)" 2
	poll
	assert_status 76
	assert_equal "$(transcript 2 | grep RETR)" 'RETR 3'
	poll
	assert_equal "$(transcript 3 | grep RETR)" $'RETR 4\nRETR 5'
	poll
	assert_status 0
	everything_is_here same 0
}

@test "pipelining = on yields to what was found out of step" {
	serve mixed
	stop_servers
	start_fakepop -e 'folder served' -e 'session 1 on RETR 2 wait 0'
	poll 'pipelining = "on"'
	assert_status 76
	poll 'pipelining = "on"'
	assert_status 0
	assert_equal "$stderr" ''
	everything_is_here mixed 0
}

@test "words behind the answer to QUIT, two answers, a refusal or none are no disorder" {
	local answer

	for answer in 'raw "+OK bye\r\nConnection closed.\r\n"' 'raw "+OK\r\n-ERR\r\n"' 'raw "-ERR\r\n+OK\r\n"' 'send -ERR no' \
		'drop' 'reset' 'send bye' 'raw "+OK\r\n\x00\xff junk"'; do
		serve same "session 1 on QUIT $answer; drop"
		poll
		assert_equal "$answer: $status $stderr" "$answer: 0 "
		poll
		assert_status 0
		assert_equal "$(transcript 2 | grep -c RETR)" 0
		everything_is_here same 0
	done
}

@test "a greeting that comes twice costs nothing" {
	serve same 'greeting "+OK hello\r\n+OK hello"'
	poll
	everything_is_here same 0 || { poll && everything_is_here same 0; }
}
