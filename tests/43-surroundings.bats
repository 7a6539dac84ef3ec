#!/usr/bin/env bats
# Surroundings that fail: full and read-only disks, destinations that vanish in the middle of a
# session, state folders that cannot be used, several runs at once, clocks that jump, hosts that are
# renamed, damaged state. No mail is lost, none comes twice, nothing hangs, and it is told why.

load helper
load shim

setup_file() {
	make_shim
}

setup() {
	default_setup
	set_clock +0
	cat >take <<-'EOT'
		#!/bin/sh
		file=$(mktemp "$HOME/taken/XXXXXXXXXXXX") && exec cat >"$file"
	EOT
	chmod 700 take
	mkdir taken
}

# Destinations by their kind.
deliver_to() {
	case $1 in
	maildir) echo "deliver = \"maildir:${2:-$HOME}/Maildir\"" ;;
	mbox) echo "deliver = \"mbox:${2:-$HOME}/mbox\"" ;;
	pipe) echo "deliver = \"pipe:$HOME/take\"" ;;
	esac
}

# The subjects of all mail that is in these places, sorted; generated messages by number.
mail() {
	find "${@:-Maildir}" -type f -not -path '*Maildir/tmp/*' -exec cat {} + 2>/dev/null |
		sed -n 's/^Subject: \(Generated message \)\{0,1\}//p' | sort -V | paste -sd ' '
}

everything() {
	mail Maildir mbox taken
}

# The ids that session N has deleted.
deleted() {
	transcript_events "$1" | sed -n 's/^deleted [0-9]* //p' | sort -V | paste -sd ' '
}

# The program in the background; it is ended by the end of the test at the latest.
poll_in_background() {
	timeout -k 5 60 "$BUILD/pophaul" "$@" </dev/null >background.out 2>background.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
}

end_run() {
	status=0
	wait "$RUN" || status=$?
	output=$(cat background.out) stderr=$(cat background.err)
}

# ---- full disks ----

# full_once KIND ROOM PLACE ERROR: two messages are known when a session with little room begins. The
# next one, with room, brings every message once; a command may get one of them twice.
full_once() {
	local kind=$1 wanted='1 2 3 4 5'

	rm -rf "$STATE" Maildir mbox taken
	mkdir taken
	start_fakepop -e 'messages 5 700' -e 'session 1 hide 3' -e 'session 1 hide 4' -e 'session 1 hide 5'
	use "$(deliver_to "$kind")"
	poll
	assert_status 0
	cp "$STATE/home.uidl" before
	use "$(deliver_to "$kind")" 'keep = never'
	SHIM_ROOM=$2 SHIM_FULL=$3 SHIM_ERROR=$4 run --separate-stderr with_shim timeout -k 5 60 "$BUILD/pophaul"
	FULL_STATUS=$status
	if [ "$status" -ne 0 ]; then
		assert_status 74
		[ "$4" = EDQUOT ] && assert_stderr_has 'Disk quota exceeded' || assert_stderr_has 'No space left on device'
		# What is gone from the server is here; what was known still is.
		comm -23 <(tr ' ' '\n' <<<"1 2 3 4 5") <(everything | tr ' ' '\n' | sort -u) >missing
		! grep -qxFf <(deleted 2 | tr ' ' '\n' | sed 's/uid-//') missing || fail "room $2: lost"
		cmp -n "$(stat -c %s before)" before "$STATE/home.uidl"
		poll
		assert_status 0
		assert_equal "$stderr" ''
	fi
	assert_equal "$(count_files Maildir/tmp)" 0
	poll --no-mail-status 9
	assert_equal "$kind, room $2: $status" "$kind, room $2: 9"
	if [ "$kind" = pipe ]; then
		assert_equal "$(everything | tr ' ' '\n' | sort -u | paste -sd ' ')" "$wanted"
		[ "$(count_files taken)" -le 6 ]
	else
		assert_equal "$kind, room $2: $(everything)" "$kind, room $2: $wanted"
	fi
}

# fills_up KIND PLACE STEP [ERROR]: with more and more room, until there is enough.
fills_up() {
	local room tries=0

	for ((room = 0; room < 100000; room += $3)); do
		full_once "$1" "$room" "$2" "${4:-ENOSPC}"
		[ "$FULL_STATUS" -ne 0 ] || break
		tries=$((tries + 1))
	done
	assert_equal "$FULL_STATUS" 0
	[ "$tries" -ge 4 ] || fail "only $tries times full"
}

@test "a disk that is full for the mail: status 74, nothing lost, and the next run brings the rest once" {
	fills_up maildir "$HOME/Maildir" 439
	fills_up mbox "$HOME/mbox" 439 EDQUOT
}

@test "a disk that is full for the state: status 74, no record lost, and the next run brings the rest once" {
	fills_up maildir "$STATE" 137 EDQUOT
	fills_up mbox "$STATE" 149
	fills_up pipe "$STATE" 61
}

@test "a disk that is full for mail and state alike: nothing lost, and the next run brings the rest once" {
	STATE=$HOME/state
	fills_up maildir "$HOME" 593
	fills_up mbox "$HOME" 593
}

# Mounts of our own: KEEPER is a process that sees DISK, a folder where COMMAND has mounted something,
# and everybody else sees it through that process. False where this user may not.
start_keeper() {
	local unshare=(unshare -m)

	[ "$(id -u)" -eq 0 ] || unshare=(unshare -U -r -m)
	mkdir -p disk
	rm -f mounted refused
	"${unshare[@]}" sh -c '{ eval "$1" && touch mounted; } || { touch refused; exit; }; exec sleep 600' - "$1" \
		>keeper.out 2>&1 3>&- &
	KEEPER=$!
	SERVER_PIDS+=("$KEEPER")
	wait_until 10 eval '[ -e mounted ] || [ -e refused ] || ! kill -0 "$KEEPER" 2>/dev/null'
	DISK=/proc/$KEEPER/root$HOME/disk
	[ -e mounted ] && [ -d "$DISK" ] && [ -w "$DISK" ]
}

in_keeper() {
	if [ "$(id -u)" -eq 0 ]; then
		nsenter -t "$KEEPER" -m "$@"
	else
		nsenter -t "$KEEPER" -U --preserve-credentials -m "$@"
	fi
}

# fills_disk KIND BALLAST: mail, state and spool are on a small disk, and something else too.
fills_disk() {
	rm -rf "${DISK:?}"/*
	mkdir "$DISK/spool"
	start_fakepop -e 'messages 6 150000'
	STATE=$DISK/state
	use "$(deliver_to "$1" "$DISK")" 'keep = never'
	head -c "$2" /dev/zero >"$DISK/ballast"
	TMPDIR=$DISK/spool poll
	if [ "$status" -ne 0 ]; then
		assert_status 74
		assert_stderr_has 'No space left on device'
	fi
	[ "$status" -eq 0 ] || FILLED=$((FILLED + 1))
	rm "$DISK/ballast"
	TMPDIR=$DISK/spool poll
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$1, $2: $(mail "$DISK/Maildir" "$DISK/mbox")" "$1, $2: 1 2 3 4 5 6"
	assert_equal "$(deleted 1)${status#0} $(deleted 2)" "$(deleted 1) $(deleted 2)"
	poll --no-mail-status 9
	assert_status 9
}

@test "a small file system that is full in fact is no different" {
	local ballast kind

	FILLED=0
	if start_keeper 'mount -t tmpfs -o size=2m none disk'; then
		for kind in maildir mbox; do
			for ballast in 2097152 1900000 1600000 1300000; do
				fills_disk "$kind" "$ballast"
			done
		done
		[ "$FILLED" -ge 6 ] || fail "full only $FILLED times"
	else
		# Nobody lets this user mount anything: the same sizes, counted by ourselves.
		for ballast in 0 150000 450000 750000; do
			rm -rf Maildir "$STATE"
			start_fakepop -e 'messages 6 150000'
			use 'keep = never'
			SHIM_ROOM=$ballast SHIM_FULL=$HOME/Maildir \
				run --separate-stderr with_shim timeout -k 5 60 "$BUILD/pophaul"
			assert_status 74
			poll
			assert_status 0
			assert_equal "$(mail)" '1 2 3 4 5 6'
		done
	fi
}

@test "a spool of a big message that finds no room is status 74, and the message stays" {
	start_fakepop -e 'messages 2 3000000'
	mkdir spool
	for kind in pipe mbox; do
		rm -rf "$STATE"
		use "$(deliver_to $kind)"
		TMPDIR=$HOME/spool SHIM_ROOM=1500000 SHIM_FULL=$HOME/spool \
			run --separate-stderr with_shim timeout -k 5 60 "$BUILD/pophaul"
		assert_status 74
		assert_stderr_has "cannot write 'spool': No space left on device"
		assert_equal "$(everything)" ''
	done
	for kind in pipe mbox; do
		use "$(deliver_to $kind)" 'keep = never'
		TMPDIR=$HOME/spool poll
		assert_status 0
	done
	assert_equal "$(everything)" '1 2'
}

# ---- disks that cannot be written to ----

# make_read_only, make_writable: the folder DISK.
make_read_only() {
	if [ -n "$KEEPER" ]; then
		in_keeper mount -o remount,bind,ro "$HOME/disk"
	else
		find "$DISK" -type d -exec chmod 500 {} +
		find "$DISK" -type f -exec chmod 400 {} +
	fi
}

make_writable() {
	if [ -n "$KEEPER" ]; then
		in_keeper mount -o remount,bind,rw "$HOME/disk"
	else
		chmod -R u+rwX "$DISK"
	fi
}

@test "a destination or a state that cannot be written to is told, nothing is deleted, and the rest comes once" {
	local what kind

	if ! start_keeper 'mount --bind disk disk'; then
		[ "$(id -u)" -ne 0 ] || fail 'root may not mount' "$(cat keeper.out)"
		KEEPER='' DISK=$HOME/disk
	fi
	for what in maildir mbox state; do
		rm -rf "${DISK:?}"/* Maildir
		start_fakepop -e 'messages 3' -e 'session 1 hide 3'
		STATE=$HOME/state kind=$what
		[ $what != state ] || STATE=$DISK/state kind=maildir
		rm -rf "$HOME/state"
		use "$(deliver_to $kind "$([ $what = state ] || echo "$DISK")")"
		poll
		assert_status 0
		make_read_only
		for keep in forever never; do
			poll --keep $keep
			assert_status 73
			assert_stderr_has "$DISK"
			assert_stderr_has "$([ -n "$KEEPER" ] && echo 'Read-only file system' || echo 'Permission denied')"
		done
		make_writable
		# Of what was delivered before, deletions are recorded where they can be.
		[ $what != state ] || assert_equal "$(grep -c '^[0-9]*> DELE' "$TRANSCRIPT")" 0
		assert_equal "$(grep -c '\* deleted [0-9]* uid-3' "$TRANSCRIPT")" 0
		poll --keep never
		assert_status 0
		assert_equal "$stderr" ''
		assert_equal "$what: $(mail disk Maildir)" "$what: 1 2 3"
		poll --no-mail-status 9
		assert_status 9
	done
}

@test "a state folder whose parents are missing is made, one with a file in its way is told" {
	start_fakepop -e 'messages 2'
	STATE=$HOME/a/b/c
	use
	poll
	assert_status 0
	assert_equal "$(mail)" '1 2'
	rm -r a
	: >a
	poll
	assert_status 73
	assert_stderr_has "state-dir '$HOME/a/b/c'"
	assert_equal "$(count_sessions)" 1
	rm a
	mkdir -p "$STATE"
	# Nothing that can be locked.
	ln -s /nonexistent/lock "$STATE/home.lock"
	poll
	assert_status 73
	assert_stderr_has "cannot open lock file '$STATE/home.lock'"
	assert_equal "$(count_sessions)" 1
}

# ---- destinations that change in the middle of a session ----

# stop_in_session before|middle LINE…: a session of three messages stands still before the first one, or in the
# middle of the third: then two are staged, and none is committed.
stop_in_session() {
	local moment=$1 script

	shift
	rm -rf here go "$STATE"
	case $moment in
	before) script="session 1 on RETR 1 touch $HOME/here; await $HOME/go; normal" ;;
	middle) script="session 1 on RETR 3 raw \"+OK\r\nSubject: Generated message 3\r\n\"; touch $HOME/here; await $HOME/go; raw \"\r\nbody\r\n.\r\n\"" ;;
	esac
	start_fakepop -e 'messages 3' -e 'replace 3 "Subject: Generated message 3\n\nbody\n"' -e "$script"
	use 'keep = never' "$@"
	poll_in_background
	wait_until 20 test -e here
}

go_on() {
	touch go
	end_run
}

# Two messages are in tmp/, and neither of them anywhere else.
two_are_staged() {
	[ "$(count_files Maildir/tmp)" -ge 2 ] && [ "$(find Maildir/tmp -size +500c | wc -l)" -ge 2 ]
}

@test "a Maildir that is removed in the middle of a session, all or a part, loses no message of it" {
	local moment what again

	for moment in before middle; do
		for what in Maildir Maildir/new Maildir/tmp; do
			for again in no yes; do
				rm -rf Maildir
				stop_in_session $moment
				[ $moment = before ] || wait_until 20 two_are_staged
				rm -r $what
				[ $again = no ] || mkdir -p Maildir/{cur,new,tmp}
				go_on
				[ "$status" -eq 73 ] || assert_status 74
				assert_stderr_has "$HOME/Maildir/"
				assert_stderr_has 'No such file or directory'
				assert_equal "$(deleted 1)" ''
				poll
				assert_status 0
				assert_equal "$stderr" ''
				assert_equal "$moment $what $again: $(mail)" "$moment $what $again: 1 2 3"
				assert_equal "$(deleted 2)" 'uid-1 uid-2 uid-3'
			done
		done
	done
}

@test "a Maildir that is renamed in the middle of a session gets all of it under its new name" {
	for moment in before middle; do
		rm -rf Maildir Moved
		stop_in_session $moment
		mv Maildir Moved
		go_on
		assert_status 0
		assert_equal "$(mail Moved)" '1 2 3'
		poll --no-mail-status 9
		assert_status 9
		assert_equal "$(mail)" ''
	done
}

@test "an mbox that is removed, replaced or linked elsewhere in the middle of a session is taken as it is then" {
	printf 'From x@y Thu Nov 19 18:00:00 2026\nSubject: old\n\ntext\n\n' >old
	for moment in before middle; do
		for change in 'rm mbox' 'cp old new; mv new mbox' 'cp old other; ln -sf other mbox'; do
			rm -f mbox other
			cp old mbox
			stop_in_session $moment 'deliver = "mbox:~/mbox"'
			eval "$change"
			go_on
			assert_status 0
			assert_equal "$stderr" ''
			assert_equal "$moment, $change: $(sed -n 's/^Subject: //p' mbox | grep -c Generated)" "$moment, $change: 3"
			[ "$change" = 'rm mbox' ] || assert_equal "$(head -n 5 mbox)" "$(cat old)"
			assert_equal "$(deleted 1)" 'uid-1 uid-2 uid-3'
			[ ! -e mbox.lock ]
		done
	done
}

@test "an mbox that is no mbox any more in the middle of a session is left alone, and the mail stays" {
	for change in 'mkdir mbox' 'ln -s nowhere mbox' 'mkfifo mbox' 'echo my notes >mbox' 'ln -s /dev/full mbox'; do
		rm -rf mbox
		: >mbox
		stop_in_session middle 'deliver = "mbox:~/mbox"'
		rm mbox
		eval "$change"
		go_on
		assert_equal "$change: $status" "$change: 73"
		assert_stderr_has "$HOME/mbox'"
		assert_equal "$(deleted 1)" ''
		[ ! -f mbox ] || assert_equal "$(cat mbox)" 'my notes'
		rm -rf mbox
		poll
		assert_status 0
		assert_equal "$(mail mbox)" '1 2 3'
	done
}

@test "a session that died, and a Maildir that was removed and made again since: its messages come" {
	local born

	start_fakepop -e 'messages 3'
	use 'keep = never'
	run strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=1 \
		timeout -k 5 60 "$BUILD/pophaul"
	[ "$(count_files Maildir/tmp)" -eq 3 ]
	grep -q '^try ' "$STATE/home.uidl"
	rm -r Maildir
	mkdir -p Maildir/{cur,new,tmp}
	born=$(stat -c %W Maildir/tmp)
	[ "$born" != 0 ] && [ "$born" != - ] || skip 'this file system does not tell when a folder was made'
	poll
	assert_status 0
	assert_equal "$(mail)" '1 2 3'
	# What was delivered and taken away is another matter.
	rm -r "$STATE"
	start_fakepop -e 'messages 3'
	use 'keep = never'
	run strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=3 \
		timeout -k 5 60 "$BUILD/pophaul"
	rm Maildir/new/*
	poll
	assert_status 0
	assert_equal "$(asked 2 RETR)" 3
}

# ---- several runs at once ----

@test "whenever a second run comes, it leaves the account alone, also with another configuration" {
	for moment in /^PASS/ UIDL 'RETR 2' 'DELE 3' QUIT; do
		rm -rf here go "$STATE" Maildir
		start_fakepop -e 'messages 3' -e 'capa before none' -e "session 1 on $moment touch $HOME/here; await $HOME/go; normal"
		use 'keep = never'
		{
			account home 'keep = never' 'deliver = "mbox:~/mbox"'
			echo "state-dir = \"$STATE\""
		} >other.conf
		chmod 600 other.conf
		poll_in_background
		wait_until 20 test -e here
		for other in '' '-c other.conf'; do
			# shellcheck disable=SC2086
			poll $other
			assert_status 75
			assert_equal "$output$stderr" ''
		done
		assert_equal "$(count_sessions)" 1
		go_on
		assert_status 0
		assert_equal "$(deleted 1)" 'uid-1 uid-2 uid-3'
		assert_equal "$(mail Maildir mbox)" '1 2 3'
	done
}

@test "a run that is killed while it holds the locks of an mbox leaves it to one that waits for them" {
	start_fakepop -e any-user -e 'messages 4'
	{
		account first 'deliver = "mbox:~/mbox"' 'user = "first"' 'keep = never'
		account second 'deliver = "mbox:~/mbox"' 'user = "second"' 'lock-timeout = 20s'
	} | write_config
	# The first one stands still in the middle of its append.
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 timeout -k 5 60 strace -f -qq -o trace -e trace=fdatasync -e inject=fdatasync:signal=STOP:when=3 \
		"$BUILD/pophaul" first </dev/null >/dev/null 2>&1 3>&- &
	SERVER_PIDS+=("$!")
	wait_until 20 test -e mbox.lock
	wait_until 20 grep -q 'message 4$' mbox
	poll_in_background second
	wait_until 20 grep -q '^2> RETR 4' "$TRANSCRIPT"
	kill -KILL "$(cut -d : -f 1 mbox.lock)"
	end_run
	assert_status 0
	[ ! -e mbox.lock ]
	poll
	assert_status 0
	# Each account's mail, once.
	assert_equal "$(mail mbox)" '1 1 2 2 3 3 4 4'
}

# ---- clocks ----

DAY=86400

# at OFFSET [ARGUMENT…]: polled by a clock that is so far off.
at() {
	set_clock "$1"
	SHIM_CLOCK=$HOME/clock run --separate-stderr with_shim timeout -k 5 60 "$BUILD/pophaul" "${@:2}"
}

@test "a clock that is set back deletes nothing too early, neither then nor when it is right again" {
	start_fakepop -e 'messages 3' -e 'session 1 hide 2' -e 'session 1-2 hide 3'
	use 'keep = 14d'
	at +0
	# Forty days back a message is delivered; then the clock is set right.
	at -$((40 * DAY))
	at +60
	at +$((13 * DAY))
	assert_status 0
	assert_equal "$(asked 1 RETR), $(asked 2 RETR), $(asked 3 RETR)" '1, 2, 3'
	assert_equal "$(grep -c '> DELE' "$TRANSCRIPT" || :)" 0
	at +$((15 * DAY))
	assert_equal "$(deleted 5)" 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3'
}

@test "a clock that stood in 1970 deletes nothing too early when it is set" {
	start_fakepop -e 'messages 2' -e 'session 1 hide 2'
	use 'keep = 14d'
	at +0
	at "=1000"
	assert_status 0
	at +60
	assert_equal "$(deleted 3)" ''
	at +$((15 * DAY))
	assert_equal "$(deleted 4)" 'uid-1 uid-2'
	assert_equal "$(mail)" '1 2'
}

@test "a clock that was years ahead once does not keep what comes later for years" {
	start_fakepop -e 'messages 2' -e 'session 1 hide 2'
	use 'keep = 14d'
	at +$((3000 * DAY))
	at +0
	at +$((15 * DAY))
	assert_equal "$(deleted 3)" uid-2
	at +$((3015 * DAY))
	assert_equal "$(deleted 4)" uid-1
}

@test "a clock that stands still, or jumps in the middle of a session, makes no name twice and ends no wait" {
	start_fakepop -e 'messages 6' -e 'session 1 hide 5' -e 'session 1-2 hide 6' \
		-e "session 3 on RETR 6 touch $HOME/here; await $HOME/go; normal" \
		-e "session 3 on DELE 2 touch $HOME/here-again; await $HOME/go-again; normal"
	use
	at "=1800000000"
	at "=1800000000"
	assert_equal "$(mail)" '1 2 3 4 5'
	assert_equal "$(find Maildir/new -type f -name '1800000000.M000000P*' | wc -l)" 5
	use 'keep = never'
	set_clock +$((10 * DAY))
	SHIM_CLOCK=$HOME/clock with_shim timeout -k 5 60 "$BUILD/pophaul" </dev/null >background.out 2>background.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 20 test -e here
	set_clock -$((400 * DAY))
	touch go
	wait_until 20 test -e here-again
	set_clock +$((4000 * DAY))
	touch go-again
	end_run
	assert_status 0
	assert_equal "$stderr" ''
	assert_equal "$(deleted 3)" 'uid-1 uid-2 uid-3 uid-4 uid-5 uid-6'
	assert_equal "$(mail)" '1 2 3 4 5 6'
}

@test "a clock that was ahead once locks no account out when it is set back" {
	start_fakepop -e 'messages 1' -e 'capa +LOGIN-DELAY 3600'
	use
	at +$((3000 * DAY))
	assert_status 0
	at +0
	assert_status 0
	at +60
	assert_status 75
	at +$((3000 * DAY))
	assert_status 0
	start_fakepop -e 'messages 1'
	rm -r "$STATE"
	use 'password = wrong'
	for n in 1 2 3; do
		at +$((3000 * DAY))
		assert_status 77
	done
	at +$((3000 * DAY))
	assert_status 75
	at +0
	assert_status 77
}

@test "a clock that was ahead once makes no server slow for years" {
	start_fakepop -e 'messages 2' -e lock-step -e 'capa +PIPELINING' -e 'session 4+ message Subject: late'
	use
	at +$((3000 * DAY)) -v
	assert_status 0
	assert_stderr_has 'trying again in lock step'
	# That it breaks is not believed of the future, found out again, and then believed.
	at +0 -v
	assert_stderr_has 'trying again in lock step'
	at +60 -v
	refute_stderr_has 'trying again'
	assert_status 0
}

@test "what died before its record is found whatever the clock says at the next start" {
	for jump in -$((2 * DAY)) +$((30 * DAY)) =1000; do
		rm -rf "$STATE" Maildir
		start_fakepop -e 'messages 3'
		use 'keep = never'
		run strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=3 \
			timeout -k 5 60 "$BUILD/pophaul"
		[ "$(count_files Maildir/tmp)" -ge 1 ]
		at "$jump" -v
		assert_status 0
		assert_stderr_has 'an earlier session died while delivering 3 messages'
		assert_equal "$jump: $(mail)" "$jump: 1 2 3"
		assert_equal "$(count_files Maildir/tmp)" 0
	done
}

# ---- host names ----

as_host() {
	SHIM_HOST=$1 run --separate-stderr with_shim timeout -k 5 60 "${@:2}" "$BUILD/pophaul"
}

@test "a host that is renamed between a death and the next start finds all that the death left" {
	for n in 1 2 3; do
		rm -rf "$STATE" Maildir
		start_fakepop -e 'messages 3' -e 'session 3+ message Subject: late'
		use
		as_host alpha strace -f -qq -o /dev/null -e trace=renameat2 -e inject=renameat2:signal=KILL:when=$n
		as_host 'a/b:c,d e'
		assert_status 0
		assert_equal "$(mail)" '1 2 3'
		assert_equal "$(count_files Maildir/tmp)" 0
		as_host ''
		assert_status 0
		assert_equal "$(mail)" '1 2 3 late'
		[ "$(find Maildir -type f -name '*.localhost,S=*' | wc -l)" -eq 1 ]
		assert_equal "$(find Maildir -mindepth 2 -type d)" ''
	done
}

@test "a dot lock of a dead run is waited for under another host name, and taken over under its own" {
	local next at

	# Dead with its messages in the mbox, and not yet recorded; or recorded, with nothing left to do there.
	for at in 'alpha 3' 'alpha 4' 'beta 3'; do
		next=${at% *}
		rm -rf "$STATE" mbox*
		start_fakepop -e 'messages 3'
		use 'deliver = "mbox:~/mbox"' 'keep = never' 'lock-timeout = 1s'
		as_host alpha strace -f -qq -o /dev/null -e trace=fdatasync -e inject=fdatasync:signal=KILL:when="${at#* }"
		[ -e mbox.lock ]
		grep -q ':alpha$' mbox.lock
		as_host $next
		if [ $next = beta ]; then
			# Its number may be that of a living process of another machine.
			assert_status 75
			assert_equal "$(deleted 1)$(deleted 2)" ''
			touch -d '-1 day' mbox.lock
			as_host beta
		fi
		assert_status 0
		assert_equal "$(mail mbox)" '1 2 3'
		[ ! -e mbox.lock ]
		poll --no-mail-status 9
		assert_status 9
	done
}

@test "started by one who ignores children and blocks signals: a command's mail comes once, and a signal ends a run" {
	cat >started-oddly <<-'EOF'
		#!/usr/bin/env python3
		import os, signal, sys
		signal.signal(signal.SIGCHLD, signal.SIG_IGN)
		signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
		os.execv(sys.argv[1], sys.argv[1:])
	EOF
	chmod 700 started-oddly
	mails 1 2
	serve "${MAILS[@]}"
	use "$(deliver_to pipe)"
	# It is started as the child of python itself: timeout(1) would set things right.
	for _ in 1 2; do
		run --separate-stderr ./started-oddly "$BUILD/pophaul" --quiet
		assert_status 0
		assert_equal "$stderr" ''
		assert_equal "$(mail taken)" '1 2'
	done
	serve "touch $PWD/there" "await $PWD/go"
	use "$(deliver_to pipe)"
	./started-oddly "$BUILD/pophaul" --quiet </dev/null >background.out 2>background.err 3>&- &
	RUN=$!
	SERVER_PIDS+=("$RUN")
	wait_until 10 test -e there
	kill "$RUN"
	timeout 10 tail --pid="$RUN" -f /dev/null || kill -KILL "$RUN"
	end_run
	assert_status 75
}
