#!/usr/bin/env bats
# What goes wrong around the state: broken sessions, killed processes, damaged files, two
# pollers, full disks, servers that are in a hurry. No mail is lost, none comes twice.

load helper

setup() {
	default_setup
	LINGERING=()
}

# Also what a failed test has left running, by process group.
teardown() {
	local group

	for group in "${LINGERING[@]}"; do
		kill -KILL -- "-$group" 2>/dev/null || :
	done
	default_teardown
}

# The subjects of the mail in a Maildir, or in the file ~/mbox, sorted; generated messages by number.
mail() {
	if [ "${1-}" = mbox ]; then
		cat mbox
	else
		find Maildir/new Maildir/cur -type f -exec cat {} +
	fi | sed -n 's/^Subject: \(Generated message \)\{0,1\}//p' | sort -V | paste -sd ' '
}

# The ids that session N has deleted.
deleted() {
	transcript_events "$1" | sed -n 's/^deleted [0-9]* //p' | sort -V | paste -sd ' '
}

# session_is N RETR-NUMBERS DELETED-IDS
session_is() {
	assert_equal "fetched: $(asked "$1" RETR); deleted: $(deleted "$1")" "fetched: $2; deleted: $3"
}

session_ended() {
	wait_until 10 grep -q "^$1\* end ${2-}" "$TRANSCRIPT"
}

# The program in the background, in a process group of its own, POPHAUL_PID.
poll_in_background() {
	setsid timeout -k 5 60 "$BUILD/pophaul" </dev/null >background.out 2>&1 3>&- &
	POPHAUL_PID=$!
	LINGERING+=("$POPHAUL_PID")
}

# Afterwards the lock is free and no write is on its way.
kill_group() {
	kill -KILL -- "-$POPHAUL_PID"
	wait "$POPHAUL_PID" 2>/dev/null || :
	wait_until 10 flock -n "$STATE/home.lock" true
}

# ---- connections ----

@test "a connection that breaks in the middle of a message: what is whole is kept, the rest comes next" {
	for dest in maildir:~/Maildir mbox:~/mbox; do
		rm -rf "$STATE"
		# Were they of one size, those in front of the break might be each other's.
		start_fakepop -e 'messages 1 1000' -e 'messages 1 1100' -e 'messages 3 1200' -e 'session 1 on RETR 3 cut 500'
		use "deliver = \"$dest\"" 'keep = never'
		poll
		assert_status 69
		assert_stderr_has 'in the middle of message 3'
		assert_equal "$(mail "${dest%%:*}")" '1 2'
		poll
		assert_status 0
		session_is 2 '3 4 5' 'uid-1 uid-2 uid-3 uid-4 uid-5'
		assert_equal "$(mail "${dest%%:*}")" '1 2 3 4 5'
		assert_equal "$(count_files Maildir/tmp)" 0
	done
}

@test "a reset connection, and one that is silent, are no different" {
	# Behind a message of the awaited one's size the silence would be suspected to hide a reply left out.
	start_fakepop -e 'messages 2' -e 'messages 2 500' -e 'session 1 on RETR 2 reset' -e 'session 2 on RETR 3 stall'
	use 'timeout = 1s'
	poll
	assert_status 69
	poll
	assert_status 69
	assert_stderr_has 'the server has been silent for 1 second'
	refute_stderr_has '1 seconds'
	poll
	assert_status 0
	session_is 3 '3 4' ''
	assert_equal "$(mail)" '1 2 3 4'
}

@test "a message that the server does not hand out is told and comes next time" {
	start_fakepop -e 'messages 3' -e 'once on RETR 2 send -ERR not now'
	use 'keep = never'
	poll
	assert_status 1
	assert_stderr_has 'message 2 (uid-2): the server refuses it: "not now"'
	session_is 1 '1 2 3' 'uid-1 uid-3'
	poll
	assert_status 0
	session_is 2 1 uid-2
	assert_equal "$(mail)" '1 2 3'
}

@test "a server that hangs up on several commands at once is asked one by one, now and next time" {
	start_fakepop -e 'messages 3' -e lock-step -e 'session 2+ message Subject: late' -e 'capa +PIPELINING'
	use
	poll -v
	assert_status 0
	session_ended 1 pipelined
	assert_stderr_has 'trying again in lock step'
	session_is 2 '1 2 3 4' ''
	grep -q '^fact lockstep [0-9]*$' "$STATE/home.uidl"
	poll -v
	assert_status 0
	refute_stderr_has 'trying again'
	assert_equal "$(count_sessions)" 3
	assert_equal "$(mail)" '1 2 3 late'
	# It may have been mended since: asked anew after 30 days, and it has not.
	later +31d poll -v
	assert_status 0
	session_ended 4 pipelined
	later +32d poll -v
	assert_status 0
	refute_stderr_has 'trying again'
	assert_equal "$(count_sessions)" 6
	use 'pipelining = on'
	poll
	assert_status 0
	session_ended 7 pipelined
}

@test "a connection that merely breaks says nothing about sending several commands at once" {
	start_fakepop - <<-'EOS'
		messages 1 1000
		messages 2 1100
		session 1 on UIDL send +OK; send 1 uid-1; drop
		session 3 on RETR 2 drop
	EOS
	use
	poll
	assert_status 69
	poll
	assert_status 0
	session_is 2 '1 2 3' ''
	rm -r "$STATE"
	poll
	assert_status 69
	poll -v
	assert_status 0
	assert_stderr_has 'messages: 3, pipelining'
	session_is 4 '2 3' ''
}

# ---- death ----

# Whether so many messages are recorded.
got() {
	[ "$(grep -c '^got ' "$STATE/home.uidl")" -eq "$1" ]
}

# killed_at DEST COMMAND [ACTION]: kill the group once the server has seen the command in the first
# session; the next run, after ACTION (normal), leaves each of the 5 messages here once.
killed_at() {
	rm -rf here go "$STATE" Maildir mbox
	start_fakepop -e 'messages 5' -e "session 1 on $2 touch $HOME/here; await $HOME/go; ${3:-normal}"
	use "deliver = \"$1\"" 'keep = never'
	poll_in_background
	wait_until 20 test -e here
	case $2 in
	RETR*) wait_until 20 got "$((${2#RETR } - 1))" ;;
	esac
	kill_group
	touch go
	session_ended 1
	poll
	assert_status 0
	assert_equal "$(mail "${1%%:*}")" '1 2 3 4 5'
	assert_equal "$(count_files Maildir/tmp)" 0
}

@test "kill -9 of everything while messages come: each is delivered once" {
	for dest in maildir:~/Maildir mbox:~/mbox; do
		killed_at "$dest" 'RETR 1'
		session_is 2 '1 2 3 4 5' 'uid-1 uid-2 uid-3 uid-4 uid-5'
		killed_at "$dest" 'RETR 4'
		session_is 2 '4 5' 'uid-1 uid-2 uid-3 uid-4 uid-5'
	done
}

@test "kill -9 of everything between deliveries and deletions: nothing is delivered again" {
	for dest in maildir:~/Maildir mbox:~/mbox; do
		killed_at "$dest" 'DELE 4'
		session_is 2 '' 'uid-1 uid-2 uid-3 uid-4 uid-5'
		# From QUIT on the server may have deleted them, and used their ids again.
		killed_at "$dest" QUIT drop
		session_is 2 '1 2 3 4 5' 'uid-1 uid-2 uid-3 uid-4 uid-5'
		killed_at "$dest" QUIT
		session_is 2 '' ''
	done
}

# traced OPTION…: the program under strace; strace.log has the calls that make something last.
traced() {
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 run timeout -k 5 60 strace -f -qq -o strace.log \
		-e trace=write,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,unlink,unlinkat,ftruncate,pwrite64 \
		"$@" "$BUILD/pophaul"
}

# Each of these calls in its turn is the last one of a run; the runs after it get every message once.
dies_at_each_call() {
	local dest=$1 call count n session deaths=0

	start_fakepop -e 'messages 3 300'
	use "deliver = \"$dest\""
	traced
	assert_status 0
	sed -n 's/^[0-9]* *\([a-z0-9]*\)(.*/\1/p' strace.log | sort | uniq -c >calls
	while read -r count call; do
		for ((n = 1; n <= count; n++)); do
			rm -rf "$STATE" Maildir mbox*
			traced -e "inject=$call:signal=KILL:when=$n"
			grep -q 'killed by SIGKILL' strace.log || continue
			poll -q
			assert_status 0
			assert_equal "$call $n: $(mail "${dest%%:*}")" "$call $n: 1 2 3"
			assert_equal "$call $n: $(count_files Maildir/tmp)" "$call $n: 0"
			session=$(($(count_sessions) + 1))
			poll
			assert_equal "$call $n: $(asked "$session" RETR)" "$call $n: "
			deaths=$((deaths + 1))
		done
	done <calls
	[ "$deaths" -gt 10 ] || fail "only $deaths deaths" "$(cat calls)"
}

@test "dying at any call that makes a Maildir delivery last: each message is there once" {
	dies_at_each_call maildir:~/Maildir
}

@test "dying at any call that makes an mbox delivery last: each message is there once" {
	dies_at_each_call mbox:~/mbox
}

# Three messages are in the Maildir, and only the attempts to deliver them are recorded.
die_before_recording() {
	start_fakepop -e 'messages 3' -e "session 1 on QUIT touch $HOME/here; await $HOME/go; drop"
	use 'keep = never'
	poll_in_background
	wait_until 20 test -e here
	kill_group
	sed -i -e '/^got /d' -e '/^fact deleting /d' "$STATE/home.uidl"
	"$TESTS/state-sum" "$STATE/home.uidl"
	touch go
	session_ended 1
}

@test "a message that a reader moved or removed after a crash is not fetched again" {
	die_before_recording
	files=(Maildir/new/*)
	mkdir Elsewhere
	mv "${files[0]}" "Maildir/cur/${files[0]##*/}:2,S"
	mv "${files[1]}" Elsewhere
	rm "${files[2]}"
	poll -v
	assert_status 0
	assert_stderr_has 'an earlier session died while delivering 3 messages: 3 had arrived'
	session_is 2 '' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" 1
}

@test "what a crash left is looked for where it was to go, although the destination is another now" {
	die_before_recording
	files=(Maildir/new/*)
	# As if it had died between the renaming of the first and that of the second.
	mv "${files[1]}" "${files[2]}" Maildir/tmp
	rename_to_unique Maildir/tmp/*
	use 'deliver = "mbox:~/mbox"' 'keep = never'
	poll -v
	assert_status 0
	assert_stderr_has 'an earlier session died while delivering 3 messages: 1 had arrived'
	session_is 2 '2 3' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail) | $(mail mbox)" '1 | 2 3'
}

# In tmp/ the names have no sizes yet.
rename_to_unique() {
	local file

	for file in "$@"; do
		mv "$file" "${file%%,*}"
	done
}

# ---- two at once ----

@test "a second poller of an account leaves it alone, quietly, and nothing comes twice" {
	start_fakepop -e 'messages 3' -e "once on RETR 1 touch $HOME/here; await $HOME/go; normal"
	use
	poll_in_background
	wait_until 20 test -e here
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll -v
	assert_status 75
	assert_stderr_has 'home: another pophaul is working on this account'
	assert_equal "$(count_sessions)" 1
	poll --list
	assert_status 0
	touch go
	wait "$POPHAUL_PID"
	assert_equal "$(mail)" '1 2 3'
	poll
	assert_status 0
	session_is 3 '' ''
}

@test "ten pollers started at once fetch each message once" {
	local pids=() pid

	start_fakepop -e 'messages 20'
	use
	for _ in {1..10}; do
		timeout -k 5 60 "$BUILD/pophaul" </dev/null >/dev/null 2>>errors 3>&- &
		pids+=("$!")
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || [ $? -eq 75 ]
	done
	assert_equal "$(cat errors)" ''
	assert_equal "$(mail)" "$(seq -s ' ' 20)"
	assert_equal "$(sed -n 's/^[0-9]*> RETR //p' "$TRANSCRIPT" | sort -n | paste -sd ' ')" "$(seq -s ' ' 20)"
}

@test "a maildrop that another client has open is a matter of later, quietly" {
	start_fakepop -e 'messages 1' -e 'session 1 on /^(PASS|AUTH)/ send -ERR [IN-USE] locked'
	use
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll
	assert_status 0
	assert_equal "$(mail)" 1
}

# ---- the state file ----

@test "a damaged state is set aside with a warning, and all is compared with the digests in it" {
	start_fakepop -e 'messages 4' -e 'session 1 hide 4'
	use
	poll
	sed -i 's/^got \([0-9]*\) .* uid-2$/got \1 \x01\x02 rubbish/' "$STATE/home.uidl"
	cp "$STATE/home.uidl" damaged
	poll
	assert_status 0
	assert_stderr_has "home: the state was damaged: set aside as '$STATE/home.uidl.damaged-"
	cmp damaged "$STATE"/home.uidl.damaged-*
	# The record of the attempt tells of message 2 that it had arrived; which ids are what, only the digests do.
	session_is 2 '1 2 3 4' ''
	poll
	assert_status 0
	assert_equal "$stderr" ''
	session_is 3 '' ''
	assert_equal "$(mail)" '1 2 3 4'
}

@test "of a state that lost all about a message that message comes again, the others do not" {
	start_fakepop -e 'messages 3'
	use
	poll
	sed -i '/ uid-2$/s/.*/?/' "$STATE/home.uidl"
	poll --keep never
	assert_status 0
	assert_stderr_has 'the state was damaged'
	session_is 2 '1 2 3' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 2 3'
}

@test "a state that is empty, or of something else, is set aside and not taken for a fresh start in silence" {
	start_fakepop -e 'messages 2'
	use
	for text in '' 'From jane Thu Jan 1 00:00:00 1970'; do
		rm -rf Maildir "$STATE"
		mkdir -p "$STATE"
		printf '%s' "${text:+$text$'\n'}" >"$STATE/home.uidl"
		poll
		assert_status 0
		assert_stderr_has 'the state was damaged: set aside as'
		assert_equal "$(cat "$STATE"/home.uidl.damaged-*)" "$text"
		assert_equal "$(mail)" '1 2'
	done
}

@test "a last line that was not written to its end is cut off without a word" {
	start_fakepop -e 'messages 2'
	use
	poll
	cp "$STATE/home.uidl" whole
	for line in 'got 1795299285 1000 37ad27eced924bd0' 'off' 'bye uid-1'; do
		printf '%s' "$line" >>"$STATE/home.uidl"
		poll
		assert_status 0
		assert_equal "$stderr" ''
		cmp whole "$STATE/home.uidl"
	done
	run ls "$STATE"
	refute_output_has damaged
	assert_equal "$(grep -c '> RETR' "$TRANSCRIPT")" 2
}

@test "a record of a delivery that was not written to its end is made good by that of its attempt" {
	start_fakepop -e 'messages 3'
	use
	poll
	truncate -s -20 "$STATE/home.uidl"
	poll -v
	assert_status 0
	assert_stderr_has 'the state was not written to its end: what its lines '
	assert_stderr_has 'an earlier session died while delivering 1 message: 1 had arrived'
	# What no sum vouches for is compared, once.
	session_is 2 '1 2 3' ''
	poll
	session_is 3 '' ''
	assert_equal "$(mail)" '1 2 3'
	run ls "$STATE"
	refute_output_has damaged
}

@test "the state of a newer pophaul is refused and stays as it is" {
	start_fakepop -e 'messages 2'
	use
	mkdir -p "$STATE"
	printf 'pophaul-uidl 2\ngot more things\n' >"$STATE/home.uidl"
	cp "$STATE/home.uidl" before
	for mode in '' --list --dry-run; do
		poll $mode
		assert_status 78
		assert_stderr_has "state file '$STATE/home.uidl' was written by another version of pophaul"
	done
	cmp before "$STATE/home.uidl"
	assert_equal "$(count_sessions)" 0
	assert_equal "$(count_files Maildir)" 0
}

@test "without a place for the state nothing is fetched or deleted" {
	start_fakepop -e 'messages 2'
	use 'keep = never'
	: >"$STATE"
	poll
	assert_status 73
	assert_stderr_has "$STATE"
	rm "$STATE"
	mkdir -p "$STATE/home.uidl"
	poll
	assert_status 73
	assert_stderr_has "state file '$STATE/home.uidl' is a folder"
	rmdir "$STATE/home.uidl"
	rm "$STATE/home.lock"
	mkdir "$STATE/home.lock"
	poll
	assert_status 73
	rmdir "$STATE/home.lock"
	mkfifo "$STATE/home.uidl"
	poll
	assert_status 73
	assert_stderr_has 'is not a regular file'
	rm "$STATE/home.uidl"
	assert_equal "$(count_sessions)" 0
	poll
	assert_status 0
	assert_equal "$(mail)" '1 2'
}

@test "a state folder that cannot be written to: 73, and nothing is fetched" {
	[ "$(id -u)" -ne 0 ] || as_user=(setpriv --reuid nobody --regid "$(id -g nobody)" --clear-groups)
	# Others must be able to reach what is in it.
	place=$(mktemp -d "${TMPDIR:-/tmp}/pophaul-state.XXXXXX")
	SERVER_DIRS+=("$place")
	cp "$BUILD/pophaul" "$place"
	start_fakepop -e 'messages 2'
	STATE=$place/state
	use "deliver = \"maildir:$place/Maildir\""
	cp "$CONF" "$place/conf"
	mkdir "$STATE"
	[ "$(id -u)" -ne 0 ] || chown -R nobody "$place"
	chmod 755 "$place"
	chmod 500 "$STATE"
	cd "$place"
	run "${as_user[@]}" env HOME="$place" timeout -k 5 60 ./pophaul -c "$place/conf"
	assert_status 73
	assert_output_has "$STATE"
	assert_equal "$(count_sessions)" 0
	chmod 700 "$STATE"
	run "${as_user[@]}" env HOME="$place" timeout -k 5 60 ./pophaul -c "$place/conf"
	assert_status 0
	assert_equal "$(count_files "$place/Maildir")" 2
}

# The program, with files that cannot grow beyond 1 KiB.
poll_with_little_room() {
	run --separate-stderr bash -c 'trap "" XFSZ; ulimit -f 1; exec timeout -k 5 60 "$0"' "$BUILD/pophaul"
}

@test "a state that cannot grow ends the session with 74; nothing is deleted, and all comes once later" {
	local n all half_done=0

	# With more and more messages, first the records of what was done find no room, then those of what is to be done.
	for n in {3..10}; do
		rm -rf "$STATE" Maildir
		start_fakepop -e "messages $n 400"
		use 'keep = never'
		poll_with_little_room
		[ "$status" -ne 0 ] || continue
		assert_status 74
		assert_stderr_has home.uidl
		all=$(printf 'uid-%d\n' $(seq "$n") | paste -sd ' ')
		[ "$(count_files Maildir/new)" -eq 0 ] || half_done=$((half_done + 1))
		# Only where nothing but the record of the deletions found no room may they be made.
		[ "$(deleted 1)" = '' ] || assert_equal "$(deleted 1)" "$all"
		[ "$(deleted 1)" = '' ] || grep -q '^fact deleting [1-9]' "$STATE/home.uidl"
		poll
		assert_status 0
		assert_equal "$(deleted 1)$(deleted 2)" "$all"
		assert_equal "$(mail)" "$(seq -s ' ' "$n")"
	done
	[ "$half_done" -gt 0 ]
	[ "$(count_files Maildir/new)" -eq 10 ]
}

# ---- servers that delete, and servers in a hurry ----

@test "a server that deletes what it sent is left without QUIT when a message could not be kept" {
	start_fakepop -e 'messages 3' -e 'capa after +EXPIRE 0' -e delete-retrieved
	use "deliver = \"pipe:sh -c '! grep -q \\\"message 2\$\\\"'\"" 'keep = never'
	poll
	assert_status 1
	assert_stderr_has 'leaving without QUIT, so that the server deletes nothing: 1 fetched message not kept, 2 deletions left for the next session'
	session_ended 1 client
	assert_equal "$(transcript 1 | grep -c QUIT)" 0
	use 'keep = never'
	poll
	assert_status 0
	session_is 2 '' 'uid-1 uid-3'
	poll
	assert_status 0
	session_is 3 1 'uid-2'
	assert_equal "$(mail)" 2
}

@test "quit-after-failure = no does the same with a server that does not say EXPIRE 0; else QUIT is sent" {
	start_fakepop -e 'messages 2'
	use 'deliver = "pipe:false"'
	poll
	assert_status 1
	session_ended 1 quit
	use 'deliver = "pipe:false"' 'quit-after-failure = no'
	poll
	assert_status 1
	session_ended 2 client
	use 'quit-after-failure = no'
	poll
	assert_status 0
	session_ended 3 quit
	assert_equal "$(mail)" '1 2'
}

@test "a server that deletes sooner than keep says so is no news for cron" {
	start_fakepop -e 'messages 1' -e 'capa after +EXPIRE 7'
	use 'keep = 30d'
	poll
	assert_status 0
	assert_equal "$stderr" ''
	poll -v
	assert_stderr_has "the server deletes mail after 7 days, which is sooner than 'keep' says"
	use 'keep = 7d'
	poll -v
	refute_stderr_has 'sooner than'
	start_fakepop -e 'messages 1' -e 'capa after +EXPIRE 0'
	use
	poll -v
	assert_stderr_has "the server does not let mail stay after it was fetched, whatever 'keep' says"
	start_fakepop -e 'messages 1' -e 'capa after +EXPIRE NEVER'
	use
	poll -v
	refute_stderr_has "'keep' says"
}

@test "a server's LOGIN-DELAY is waited for: quietly not polled before" {
	start_fakepop -e 'messages 1' -e 'capa +LOGIN-DELAY 300'
	use
	poll
	assert_status 0
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll -v home
	assert_status 75
	assert_stderr_has 'home: the server asks for 300 s between logins, '
	assert_equal "$(count_sessions)" 1
	later +250s poll
	assert_status 75
	later +301s poll
	assert_status 0
	session_is 2 '' ''
}

@test "a LOGIN-DELAY of a second is waited out" {
	start_fakepop -e 'messages 1' -e 'capa +LOGIN-DELAY 1'
	use
	poll
	poll
	assert_status 0
	assert_equal "$(count_sessions)" 2
}

@test "a login that comes too soon for the server is a matter of later, quietly" {
	start_fakepop -e 'messages 1' -e 'session 1 on /^(PASS|AUTH)/ send -ERR [LOGIN-DELAY] wait'
	use
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll
	assert_status 0
}

@test "after three refused logins an account is left alone for a while, unless it is named" {
	start_fakepop -e 'messages 1'
	use 'password = wrong'
	for n in 1 2 3; do
		poll
		assert_status 77
		assert_stderr_has 'home: '
	done
	assert_equal "$(count_sessions)" 3
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll -v
	assert_status 75
	assert_stderr_has "home: the login was refused 3 times in a row: not tried for another 15 min; 'pophaul home' tries at once"
	assert_equal "$(count_sessions)" 3
	poll home
	assert_status 77
	assert_equal "$(count_sessions)" 4
	# Twice as long after the fourth.
	later +16m poll
	assert_status 75
	later +31m poll
	assert_status 77
	use
	poll home
	assert_status 0
	use 'password = wrong'
	poll
	assert_status 77
	poll
	assert_status 77
}

@test "trouble that is not a refused login keeps nobody from trying" {
	start_fakepop -e 'times 4 on /^(PASS|AUTH)/ drop' -e 'messages 1'
	use
	for n in 1 2 3 4; do
		poll
		assert_status 69
	done
	poll
	assert_status 0
	assert_equal "$(mail)" 1
}
