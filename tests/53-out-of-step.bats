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
	both_ways same 76 'the server says unasked: "+OK' 1 'session 1 on RETR 1 normal; normal'
	both_ways same 76 'the server says unasked: "+OK' 1 'session 1 on RETR 4 normal; normal'
	grep -q '^fact lockstep [1-9]' "$STATE/box.uidl"
	assert_equal "$(transcript_events 2 | sed -n 's/^end .*flights=//p')" 17
}

@test "a refusal too many: the next session fetches what may stand under a wrong id" {
	both_ways same 76 'the server says unasked: "+OK' 0 'session 1 on RETR 2 send -ERR what?; normal'
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
		assert_equal "$(transcript 2 | grep RETR)" "$(seq -f 'RETR %g' "$place" 5)"
		everything_is_here same 0
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

@test "a whole text in answer to QUIT belongs to an earlier command: the messages are fetched again" {
	serve same 'session 1 on QUIT raw "+OK 33 octets\r\nSubject: left over\r\n\r\nx\r\n.\r\n+OK bye\r\n"; drop'
	poll
	assert_status 76
	assert_stderr_has 'a whole text came in answer to QUIT'
	poll
	assert_status 0
	assert_equal "$(transcript 2 | grep -c RETR)" 5
	everything_is_here same 0
	poll
	assert_equal "$(transcript 3 | grep -c RETR)" 0
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
